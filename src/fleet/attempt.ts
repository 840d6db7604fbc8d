/**
 * One try of a request on one node, from the first byte sent to the true end of the answer. It reads the node's bytes,
 * decides when the head is certain, watches the terminator, and reports exactly one end (`attempt-report.ts`). Its deadlines
 * are `attempt-watch.ts`'s. It never retries and never touches health: `dispatch.ts` does, by what is reported here.
 *
 * The node is always drained: frames go into the client's bounded queue without waiting; a client that lets it run full is
 * dropped, so that its slowness never keeps a slot taken.
 */
import { ByteQueue } from '../base/byte-queue.ts'
import type { Clock } from '../base/clock.ts'
import type { Listed, LiveList } from '../base/live-list.ts'
import type { Call } from '../core/call.ts'
import { CorralError, type ErrorCode } from '../core/errors.ts'
import type { InferenceRequest, Usage } from '../core/relay.ts'
import { checkWholeBody, createStreamReader, readWholeUsage, type StreamReader } from '../wire/stream-reader.ts'
import type { Claim } from './claim.ts'
import { isStreamHead, problemOfHead } from './answer-head.ts'
import {
  type AttemptSink,
  type Failure,
  failureOfConnection,
  failureOfFrame,
  failureOfStatus,
  isIdleLoss,
  type StreamEnd,
} from './attempt-report.ts'
import { AttemptWatch, type Overdue, overdueFailures } from './attempt-watch.ts'
import { blamedSilenceMs } from './deadlines.ts'
import type { FleetOptions } from './options.ts'
import type { Exchange, ResponseHandler, ResponseHeaders, TransportError } from './transport.ts'

/** Hears how far apart, in seconds, the pieces of a stream are; called for each of them. */
export interface FrameGaps {
  observe(seconds: number): void
}

export interface AttemptDeps {
  readonly clock: Clock
  readonly options: FleetOptions
  /** Attempts that the sweep looks after. */
  readonly active: LiveList<Attempt>
  readonly sink: AttemptSink<Attempt>
  /** Nodes that the request was taken from because they sent nothing. */
  readonly silences: number
}

export class Attempt implements ResponseHandler, Listed {
  place = 0
  readonly request: InferenceRequest
  readonly call: Call
  readonly claim: Claim
  readonly startedAtMs: number
  readonly #deps: AttemptDeps
  status = 0
  headers: ResponseHeaders = {}
  firstFrameAtMs = 0
  /** Set when the first frame has come. */
  gaps: FrameGaps | null = null
  bytes = 0
  usage: Usage | null = null
  #exchange: Exchange | null = null
  #reader: StreamReader | null = null
  #frames: ByteQueue | null = null
  #chunks: Buffer[] = []
  #state: 'open' | 'streaming' | 'ended' = 'open'
  #terminated = false
  readonly #watch: AttemptWatch

  constructor(deps: AttemptDeps, request: InferenceRequest, call: Call, claim: Claim) {
    this.#deps = deps
    this.request = request
    this.call = call
    this.claim = claim
    this.startedAtMs = deps.clock.nowMs()
    const { silences } = deps
    this.#watch = new AttemptWatch(claim.runner, request, { deadlines: deps.options.deadlines, nowMs: this.startedAtMs, silences })
  }

  get frameCount(): number {
    return this.#reader?.frames ?? 0
  }

  get streaming(): boolean {
    return this.#state === 'streaming'
  }

  /** A report was made, or `abort` made one needless: what still comes is nobody's any more. */
  get #ended(): boolean {
    return this.#state === 'ended'
  }

  /** Sends the request. `headers` are complete. */
  start(headers: string[]): void {
    const { request } = this
    this.#deps.active.add(this)
    const body = request.body.length === 0 ? null : request.body
    const wire = { method: request.method, path: request.target, headers, body }
    const exchange = this.claim.runner.fleetNode.transport.open(wire, this)
    if (this.#ended) exchange.abort('ended')
    else this.#exchange = exchange
  }

  /** Stops the upstream without a report: the dispatcher knows why. Safe at any time. */
  abort(reason: string): void {
    if (this.#ended) return
    this.#end()
    this.#exchange?.abort(reason)
  }

  #end(): void {
    this.#state = 'ended'
    this.#deps.active.remove(this)
  }

  onHead(status: number, headers: ResponseHeaders): void {
    this.status = status
    this.headers = headers
    this.#watch.noteHead(this.#deps.clock.nowMs())
    const problem = problemOfHead(status, headers)
    if (problem !== null) {
      this.#failProtocol(problem)
    } else if (isStreamHead(this.request.route, status, headers)) {
      this.#reader = createStreamReader(this.request.route, { frameBytesMax: this.#deps.options.frameBytesMax })
    }
  }

  onData(chunk: Buffer): void {
    if (this.#ended) return
    const nowMs = this.#deps.clock.nowMs()
    const { wholeBytesMax } = this.#deps.options
    this.#watch.noteBytes(nowMs, this.streaming)
    this.bytes += chunk.length
    if (this.#reader !== null) this.#read(this.#reader, chunk, nowMs)
    else if (this.bytes > wholeBytesMax) this.#failSize(wholeBytesMax)
    else this.#chunks.push(chunk)
  }

  #read(reader: StreamReader, chunk: Buffer, nowMs: number): void {
    if (this.#terminated) {
      this.#endTerminated('bytes after the last frame')
      return
    }
    const step = reader.push(chunk)
    if (step.forward !== null) {
      const gapMs = this.#watch.noteFrame(nowMs)
      if (this.gaps !== null) this.gaps.observe(gapMs / 1_000)
      // Whoever takes the frame may end the try.
      if (!this.#forward(step.forward, nowMs) || this.#ended) return
    }
    switch (step.event) {
      case null:
        return
      case 'done':
        this.#terminated = true
        return
      case 'error':
      case 'died':
        this.#errorFrame(step.message ?? 'the runner died', step.event)
        return
      case 'malformed':
        this.#failProtocol(`a malformed frame${step.message === null ? '' : `: ${step.message}`}`)
        return
      case 'oversize':
        this.#failProtocol(`a frame over ${this.#deps.options.frameBytesMax} bytes`)
    }
  }

  /** False when the client was dropped. */
  #forward(bytes: Buffer, nowMs: number): boolean {
    let frames = this.#frames
    if (frames === null) {
      frames = new ByteQueue(this.#deps.options.bufferBytesMax)
      frames.onCancel = () => this.#clientLeft('client_gone', 'the client left')
      this.#frames = frames
      this.#state = 'streaming'
      this.firstFrameAtMs = nowMs
      frames.push(bytes)
      this.#deps.sink.onFirstFrame(this, frames)
      return true
    }
    this.call.progress.frames += 1
    if (frames.push(bytes)) return true
    if (frames.open) this.#clientLeft('client_too_slow', `the client left ${frames.queuedBytes} bytes unread`)
    return false
  }

  #clientLeft(kind: 'client_gone' | 'client_too_slow', message: string): void {
    if (this.#ended) return
    this.#exchange?.abort(message)
    this.#endStream({ kind, error: new CorralError(kind, message) })
  }

  #errorFrame(message: string, event: 'error' | 'died'): void {
    const begun = this.#frames !== null
    const { failure, fault } = failureOfFrame(this.request.route, this.claim.runner.node, { message, event, begun })
    const { error, kind } = failure
    this.#exchange?.abort('error frame')
    if (begun) this.#endStream({ kind: fault === 'node' ? 'broken' : 'silent', error, runnerDied: kind === 'runner_died' })
    else this.#fail(failure)
  }

  /** The answer is complete but the node does not end its body: the connection is of no use any more. */
  #endTerminated(reason: string): void {
    this.#exchange?.abort(reason)
    this.#endStream({ kind: 'ok', error: null })
  }

  onEnd(): void {
    if (this.#ended) return
    if (this.#reader === null) this.#endWhole()
    else this.#endReader(this.#reader)
  }

  #endReader(reader: StreamReader): void {
    this.usage = reader.usage
    const end = this.#terminated ? 'complete' : reader.end()
    if (end === 'complete' && this.#frames !== null) {
      this.#endStream({ kind: 'ok', error: null })
      return
    }
    const { node } = this.claim.runner
    const error = new CorralError('stream_truncated', `${node} ended the stream without its last frame`, { node })
    if (this.#frames === null) this.#fail({ error, response: null, kind: 'truncated', retry: 'elsewhere', reusedSocket: false })
    else this.#endStream({ kind: end === 'silent' && this.request.route.framing === 'ndjson' ? 'silent' : 'broken', error })
  }

  #endStream(end: StreamEnd): void {
    this.#end()
    this.usage ??= this.#reader?.usage ?? null
    this.#deps.sink.onStreamEnd(this, end)
  }

  #endWhole(): void {
    const only = this.#chunks[0]
    const body = this.#chunks.length === 1 && only !== undefined ? only : Buffer.concat(this.#chunks)
    const { route } = this.request
    const { status, headers } = this
    if (status >= 400) {
      this.#fail(failureOfStatus(route, this.claim.runner.node, { status, headers, body }))
    } else if (checkWholeBody(route, status, body) === 'malformed') {
      this.#failProtocol('a body that is no JSON')
    } else {
      this.usage = readWholeUsage(route, body)
      this.#end()
      this.#deps.sink.onWhole(this, body)
    }
  }

  /** A long answer is what was asked for: the limit is the gateway's own, and no other node would be under it. An error is never so long. */
  #failSize(bytesMax: number): void {
    if (this.status >= 300) {
      this.#failProtocol(`an error of over ${bytesMax} bytes`)
      return
    }
    const { node } = this.claim.runner
    const message = `the answer of ${node} is over ${bytesMax} bytes (fleet.wholeBytesMax)`
    this.#exchange?.abort(message)
    this.#fail({
      error: new CorralError('answer_too_large', message, { node }),
      response: null,
      kind: 'too_large',
      retry: 'never',
      reusedSocket: false,
    })
  }

  #failProtocol(what: string): void {
    this.#broken('node_protocol', `sent ${what}`, 'protocol')
  }

  /** A failure by the node's fault, before or after the head. */
  #broken(code: ErrorCode, what: string, kind: Failure['kind']): void {
    if (this.#ended) return
    const { node } = this.claim.runner
    const error = new CorralError(code, `${node} ${what}`, { node })
    this.#exchange?.abort(kind)
    if (this.#frames !== null) this.#endStream({ kind: 'broken', error })
    else this.#fail({ error, response: null, kind, retry: 'elsewhere', reusedSocket: false })
  }

  #fail(failure: Failure): void {
    this.#end()
    this.#deps.sink.onFailure(this, failure)
  }

  onError(cause: TransportError): void {
    if (this.#ended) return
    const { node } = this.claim.runner
    if (this.#frames === null) {
      const sinceMs = this.#deps.clock.nowMs() - this.startedAtMs
      this.#fail(failureOfConnection(cause, node, isIdleLoss({ status: this.status, sinceMs })))
      return
    }
    const error = new CorralError('stream_truncated', `${node} broke off the stream: ${cause.message}`, { node, cause })
    this.#endStream(this.#terminated ? { kind: 'ok', error: null } : { kind: 'broken', error })
  }

  /** Looks at the deadlines; called by the sweep some times a second. */
  check(nowMs: number): void {
    if (this.#state === 'open') this.#checkOpen(nowMs)
    else if (this.#state === 'streaming') this.#checkStream(nowMs)
  }

  #checkOpen(nowMs: number): void {
    const watch = this.#watch
    const overdue = watch.checkOpen(nowMs, this.#reader !== null)
    if (overdue !== null) this.#onOverdue(overdue)
    else if (watch.isSuspect(nowMs) && this.#deps.sink.shouldMove(this)) this.#onOverdue(watch.hung(nowMs))
  }

  #checkStream(nowMs: number): void {
    const { firstFrameAtMs, frameCount } = this
    const overdue = this.#watch.checkStream(nowMs, { firstFrameAtMs, terminated: this.#terminated, bytes: this.bytes })
    if (overdue !== null) {
      this.#onOverdue(overdue)
      return
    }
    const standstill = this.#terminated ? 0 : this.#watch.standstill(nowMs)
    if (standstill > 0) this.claim.runner.noteStandstill(standstill, nowMs)
    else if (this.#watch.hasJustProven(nowMs, { firstFrameAtMs, frames: frameCount })) this.#deps.sink.onProven(this)
  }

  #onOverdue({ kind, what }: Overdue): void {
    if (kind === 'unended') {
      this.#endTerminated(what)
    } else if (kind === 'endless') {
      // A model that never stops (`num_predict: -1`) is nobody's fault.
      const { node } = this.claim.runner
      this.#exchange?.abort(kind)
      this.#endStream({ kind: 'silent', error: new CorralError('node_timeout', `${node} ${what}`, { node }) })
    } else {
      const { code, as } = overdueFailures[kind]
      this.#broken(code, what, as)
    }
  }

  /** Whether the node was silent for so long that this alone is a failure, whoever ends the try. */
  isHung(nowMs: number): boolean {
    return this.#state === 'open' && this.#watch.isSuspect(nowMs)
  }

  /** Whether its runner sent nobody anything for longer than this try should have waited for its first frame. */
  isRunnerSilent(nowMs: number): boolean {
    return this.#watch.isRunnerSilent(nowMs)
  }

  /** Whether a client that leaves at this moment leaves because of the node: no byte came, to nobody, for longer than expected. */
  isLeftForSilence(nowMs: number): boolean {
    if (this.#state !== 'open' || this.status !== 0) return false
    return this.#watch.isRunnerSilent(nowMs, blamedSilenceMs(this.claim.runner, this.request, this.#deps.options.deadlines))
  }
}
