/**
 * The handler of every route that a node answers: read the body, find the envelope, hand it to the relay, write the answer.
 * It works on the raw Node request and response, and waits by callbacks where a promise would cost more than the step.
 */
import type { ServerResponse } from 'node:http'

import type { Call } from '../../core/call.ts'
import { type CorralError, type ErrorCode, toCorralError } from '../../core/errors.ts'
import type { Answer, InferenceRequest, Relay } from '../../core/relay.ts'
import type { RouteFacts } from '../../core/route.ts'
import { renderStreamError } from '../../wire/render-error.ts'
import type { Refused } from '../auth/guard.ts'
import { type BodyTaker, readBody } from '../body.ts'
import type { ListedCall } from '../call-registry.ts'
import { condemn } from '../connection.ts'
import { sendError } from '../send-error.ts'
import { EarlyHead } from './early-head.ts'
import type { Exchange, InferenceDeps } from './exchange.ts'
import { flushed } from './flush.ts'
import { startCall, toRequest } from './read-request.ts'
import { isTold, namesOfRoute, writeStream, writeWhole } from './write-answer.ts'

/** Answers one request by `relay`, the fleet's unless another one is given. */
export function handleInference(deps: InferenceDeps, exchange: Exchange, relay: Relay = deps.relay): void {
  const run = new ExchangeRun(deps, exchange, relay)
  const { bodyBytesMax: bytesMax, bodiesBytesMax: bytesMaxTogether, bodyPauseMsMax: pauseMsMax } = deps.options()
  const declaredBytes = exchange.headers.contentLength
  const { clock } = deps
  // The time that it took to ask who it is was not the client's.
  const arrivedAtMs = clock.nowMs()
  const bytesMaxName = 'http.bodyBytesMax'
  readBody(exchange.incoming, { bytesMax, bytesMaxName, bytesMaxTogether, pauseMsMax, declaredBytes, clock, arrivedAtMs }, run)
}

/** After these the rest of the body is never read. */
const unread: ReadonlySet<ErrorCode> = new Set(['body_too_large', 'body_timeout', 'bodies_full'])

const noBody = Buffer.alloc(0)

/** Answers one request by `relay`, which reads the body itself. */
export function handleUnread(deps: InferenceDeps, exchange: Exchange, relay: Relay): void {
  new ExchangeRun(deps, exchange, relay).onBody(noBody)
}

/** Answers a request that the guard turned away: a call that begins and ends here, with its body unread. */
export function refuseInference(deps: InferenceDeps, exchange: Exchange, { error, note }: Pick<Refused, 'error' | 'note'>): void {
  const { incoming, outgoing, facts } = exchange
  const call = startCall(deps, exchange)
  note(call.id)
  nameTrace(outgoing, call)
  if (error.code === 'internal') deps.onBug(error.cause, call)
  deps.onRefused({ facts, method: incoming.method ?? '' }, error, call)
  sendError({ incoming, outgoing, clock: deps.clock }, facts.dialect, error, call.id)
}

/** Whatever the answer will be: by this id its trace is found. */
function nameTrace(outgoing: ServerResponse, { trace }: Call): void {
  if (trace !== null) outgoing.setHeader('x-corral-trace-id', trace.traceId)
}

/** One request from its first byte to the last of its answer. */
class ExchangeRun implements BodyTaker, ListedCall {
  readonly #deps: InferenceDeps
  readonly #exchange: Exchange
  readonly #relay: Relay
  readonly call: Call
  readonly route: RouteFacts
  model: string | null = null
  place = 0
  /** Nothing but an early head was written · a stream or a whole answer is being written · it was ended from this side. */
  #phase: 'open' | 'streaming' | 'whole' | 'cut' = 'open'
  #early: EarlyHead | null = null

  constructor(deps: InferenceDeps, exchange: Exchange, relay: Relay) {
    this.#deps = deps
    this.#exchange = exchange
    this.#relay = relay
    const call = startCall(deps, exchange)
    this.call = call
    nameTrace(exchange.outgoing, call)
    if (isAsked(exchange.headers.explain)) call.explanation = deps.explanations.begin(call)
    exchange.outgoing.on('close', () => {
      if (!exchange.outgoing.writableFinished) call.signal.abort('client gone')
    })
    call.signal.on(this.#cutShort)
    this.route = exchange.facts
    deps.calls.add(this)
  }

  onBody(body: Buffer): void {
    try {
      const request = toRequest(this.#exchange, body, this.#deps.options())
      this.model = request.model
      this.#early = this.#startEarlyHead(request)
      this.#relay(request, this.call).then((answer) => this.#write(request, answer), this.onBodyError)
    } catch (thrown) {
      this.onBodyError(thrown)
    }
  }

  /** Any failure before an answer was there. */
  readonly onBodyError = (thrown: unknown): void => {
    this.#early?.stop()
    if (this.#phase !== 'cut') this.#refuse(thrown)
    this.#end()
  }

  #end(): void {
    this.call.progress.phase = 'done'
    this.#deps.calls.remove(this)
  }

  /** The call was aborted: a client that is still there is told why, unless half of a whole answer went out. */
  readonly #cutShort = (reason: unknown): void => {
    if (!isTold(reason) || this.#phase === 'whole') {
      this.#exchange.outgoing.destroy()
      return
    }
    // A stream's writer puts the error behind its last frame.
    if (this.#phase !== 'open') return
    this.#phase = 'cut'
    this.#early?.stop()
    this.#refuse(reason)
  }

  #write(request: InferenceRequest, answer: Answer): void {
    try {
      this.#early?.stop()
      const written = this.#writeAnswer(request, answer)
      if (written === null) this.#flush()
      else written.then(() => this.#flush(), this.onBodyError)
    } catch (thrown) {
      this.onBodyError(thrown)
    }
  }

  /** The answer is written; it is over when the client took it. */
  #flush(): void {
    const { clock, options } = this.#deps
    const left = flushed(this.#exchange.outgoing, { clock, stallMs: options().stallMs, call: this.call })
    if (left === null) this.#end()
    else left.then(() => this.#end(), this.onBodyError)
  }

  /** Resolves when all is written; null when that is so already. */
  #writeAnswer(request: InferenceRequest, answer: Answer): Promise<void> | null {
    const { outgoing } = this.#exchange
    if (this.#phase === 'cut') {
      if (answer.kind === 'stream') answer.frames.cancel('the call was ended')
      return null
    }
    const { stallMs, routeHeaders } = this.#deps.options()
    const options = { clock: this.#deps.clock, stallMs, routeHeaders }
    const writing = { request, call: this.call, options, headSent: this.#early?.sent ?? false }
    this.#phase = answer.kind === 'stream' ? 'streaming' : 'whole'
    return answer.kind === 'stream' ? writeStream(outgoing, answer, writing) : writeWhole(outgoing, answer, writing)
  }

  #startEarlyHead(request: InferenceRequest): EarlyHead | null {
    const { framing } = request.route
    if (!request.stream || framing === 'none') return null
    const { keepAliveBytesAfterMs: afterMs, keepAliveBytesEveryMs: everyMs } = this.#deps.options()
    const headers = (): Record<string, string> => progressHeaders(this.call)
    return new EarlyHead(this.#exchange.outgoing, framing, { clock: this.#deps.clock, afterMs, everyMs, headers })
  }

  #refuse(thrown: unknown): void {
    const { incoming, outgoing, facts } = this.#exchange
    const { clock, guard, onBug, onRefused } = this.#deps
    const call = this.call
    const error = toCorralError(thrown)
    guard.noteRefusal(incoming, { error, pattern: facts.pattern, requestId: call.id })
    if (error.code === 'internal') onBug(thrown, call)
    if (call.progress.attempts === 0) onRefused({ facts, method: incoming.method ?? '' }, error, call)
    if (unread.has(error.code)) condemn(incoming, outgoing)
    if (outgoing.headersSent && !outgoing.writableEnded) outgoing.end(renderStreamError(facts, error, call.id))
    else {
      this.#nameRoute(error)
      sendError({ incoming, outgoing, clock }, facts.dialect, error, call.id)
    }
  }

  /** An answer of our own after tries says where the last one went. */
  #nameRoute(error: CorralError): void {
    const { node, routeReason: reason, attempts } = this.call.progress
    const { outgoing } = this.#exchange
    if (reason === null || outgoing.headersSent || !this.#deps.options().routeHeaders) return
    for (const [name, value] of namesOfRoute({ node: error.node ?? node, reason, attempts })) outgoing.setHeader(name, value)
  }
}

/** Whether the request wants to be explained. */
function isAsked(explain: string | null): boolean {
  return explain !== null && /^(true|1)$/i.test(explain)
}

function progressHeaders(call: Call): Record<string, string> {
  const headers: Record<string, string> = { 'x-request-id': call.id }
  const { queuePosition, etaMs } = call.progress
  if (queuePosition > 0) headers['x-corral-queue-position'] = String(queuePosition)
  if (etaMs !== null) headers['x-corral-queue-eta-ms'] = String(etaMs)
  return headers
}
