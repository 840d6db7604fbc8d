/**
 * Every exchange of the port by the pattern of its route, whoever answers it: how many, how long, how they ended. A pattern is one of the
 * source's own; a path that belongs to no route counts as `unmatched`, so no client can make series. An exchange on one of Corral's own
 * routes also leaves a line in the access log and, where spans are made, a span. What is noted stands on the response itself, and its series are found once: nothing is allocated for it.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'

import type { Clock } from '../base/clock.ts'
import type { TraceContext } from '../core/call.ts'
import type { ErrorCode } from '../core/errors.ts'
import { type Cell, CellCache, type Distribution } from '../observe/families.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { EndedExchange, Told } from '../observe/events.ts'
import type { Tracing } from '../observe/tracing.ts'

const unmatched = 'unmatched'
/** By the first digit of the status; none: the client left before there was one. */
const codeClasses = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const
const statusesPerClass = 100

/** A response that knows what is counted of it. */
export class CountedResponse extends ServerResponse {
  traffic: Traffic | null = null
  pattern: string = unmatched
  arrivedAtMs = 0
  trace: TraceContext | null = null
  /** Of an exchange on one of Corral's own routes, from the moment that somebody is told of it. */
  requestId: string | null = null
  /** Code of the error that it was answered with. */
  error: ErrorCode | null = null
}

/** The one id by which the answer, the logs and the audit log name this exchange. */
export function requestIdOf(outgoing: ServerResponse, newId: () => string): string {
  return outgoing instanceof CountedResponse ? (outgoing.requestId ??= newId()) : newId()
}

/** What a log line says of the exchange. */
export function toldOf(outgoing: ServerResponse, newId: () => string): Told {
  return { id: requestIdOf(outgoing, newId), trace: outgoing instanceof CountedResponse ? outgoing.trace : null }
}

/** Says that the exchange is answered with an error. */
export function noteError(outgoing: ServerResponse, code: ErrorCode): void {
  if (outgoing instanceof CountedResponse) outgoing.error = code
}

/** Says which route the exchange belongs to. */
export function noteRoute(outgoing: ServerResponse, pattern: string): void {
  if (outgoing instanceof CountedResponse) outgoing.pattern = pattern
}

export interface TrafficDeps {
  readonly metrics: Metrics
  readonly clock: Clock
  readonly tracing: Pick<Tracing, 'tracer' | 'onExchange'>
  readonly newId: () => string
  /** Hears of the end of each exchange on one of Corral's own routes. */
  readonly onOwnEnded: (exchange: EndedExchange, told: Told) => void
}

/** What one exchange updates. */
interface ExchangeCells {
  readonly count: Cell
  readonly duration: Distribution
}

export class Traffic {
  readonly #deps: TrafficDeps
  readonly #inFlight: Cell
  /** By pattern and class of the status. Neither label is open, so that no cell is ever forgotten. */
  readonly #exchanges: CellCache<ExchangeCells>

  constructor(deps: TrafficDeps) {
    this.#deps = deps
    const { httpInFlight, httpRequests, httpDuration } = deps.metrics.families
    this.#inFlight = httpInFlight.child()
    this.#exchanges = new CellCache((pattern, codeClass) => ({
      count: httpRequests.child(pattern, codeClass),
      duration: httpDuration.child(pattern, codeClass),
    }))
  }

  /** An exchange begins; it is counted at its end. */
  begin(outgoing: CountedResponse): void {
    this.#inFlight.value += 1
    outgoing.traffic = this
    outgoing.arrivedAtMs = this.#deps.clock.nowMs()
    outgoing.on('close', countClosed)
  }

  /** The exchange is Corral's own to answer: it gets an id and, where spans are made, becomes one; the client finds both in its answer. */
  beginOwn({ headers }: IncomingMessage, outgoing: ServerResponse): void {
    const { tracer, onExchange } = this.#deps.tracing
    outgoing.setHeader('x-request-id', requestIdOf(outgoing, this.#deps.newId))
    if (onExchange === null || !(outgoing instanceof CountedResponse)) return
    const { traceparent, tracestate } = headers
    const trace = tracer.start(oneOf(traceparent), oneOf(tracestate))
    if (trace === null) return
    outgoing.trace = trace
    outgoing.setHeader('x-corral-trace-id', trace.traceId)
  }

  end(outgoing: CountedResponse): void {
    const { clock, tracing, onOwnEnded } = this.#deps
    const { pattern, arrivedAtMs, trace, headersSent, statusCode, requestId, error } = outgoing
    const codeClass = codeClasses[headersSent ? Math.floor(statusCode / statusesPerClass) : 0] ?? 'none'
    this.#inFlight.value -= 1
    const { count, duration } = this.#exchanges.get(pattern, codeClass)
    count.value += 1
    duration.observe((clock.nowMs() - arrivedAtMs) / 1_000)
    if (requestId === null) return
    const ended: EndedExchange = { pattern, method: outgoing.req.method ?? '', status: headersSent ? statusCode : null, arrivedAtMs, error }
    onOwnEnded(ended, { id: requestId, trace })
    if (trace?.sampled === true) tracing.onExchange?.(ended, trace)
  }
}

function oneOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.[0]
}

function countClosed(this: CountedResponse): void {
  this.traffic?.end(this)
}
