/**
 * Every exchange of the port by the pattern of its route, whoever answers it: how many, how long, how they ended. A pattern is one of the
 * source's own; a path that belongs to no route counts as `unmatched`, so no client can make series. An exchange on one of Corral's own
 * routes also leaves a span. What is noted stands on the response itself, and its series are found once: nothing is allocated for it.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'

import type { Clock } from '../base/clock.ts'
import type { TraceContext } from '../core/call.ts'
import { type Cell, CellCache, type Distribution } from '../observe/families.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { EndedExchange } from '../observe/spans.ts'
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
}

/** Says which route the exchange belongs to. */
export function noteRoute(outgoing: ServerResponse, pattern: string): void {
  if (outgoing instanceof CountedResponse) outgoing.pattern = pattern
}

export interface TrafficDeps {
  readonly metrics: Metrics
  readonly clock: Clock
  readonly tracing: Pick<Tracing, 'tracer' | 'onExchange'>
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

  /** The exchange is Corral's own to answer: where spans are made it becomes one, by whose id the client finds it. */
  beginOwn({ headers }: IncomingMessage, outgoing: ServerResponse): void {
    const { tracer, onExchange } = this.#deps.tracing
    if (onExchange === null || !(outgoing instanceof CountedResponse)) return
    const { traceparent, tracestate } = headers
    const trace = tracer.start(oneOf(traceparent), oneOf(tracestate))
    if (trace === null) return
    outgoing.trace = trace
    outgoing.setHeader('x-corral-trace-id', trace.traceId)
  }

  end(outgoing: CountedResponse): void {
    const { clock, tracing } = this.#deps
    const { pattern, arrivedAtMs, trace, headersSent, statusCode } = outgoing
    const codeClass = codeClasses[headersSent ? Math.floor(statusCode / statusesPerClass) : 0] ?? 'none'
    this.#inFlight.value -= 1
    const { count, duration } = this.#exchanges.get(pattern, codeClass)
    count.value += 1
    duration.observe((clock.nowMs() - arrivedAtMs) / 1_000)
    if (trace?.sampled !== true) return
    const ended: EndedExchange = { pattern, method: outgoing.req.method ?? '', status: headersSent ? statusCode : null, arrivedAtMs }
    tracing.onExchange?.(ended, trace)
  }
}

function oneOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.[0]
}

function countClosed(this: CountedResponse): void {
  this.traffic?.end(this)
}
