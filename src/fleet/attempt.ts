/**
 * One try of a request on one node, from the first byte sent to the true end of the answer. It reads the node's bytes,
 * decides when the head is certain, watches the terminator and the deadlines, and reports exactly one end. It never retries
 * and never touches health: `dispatch.ts` does, by what is reported here.
 *
 * The node is always drained: frames go into the client's bounded queue without waiting; a client that lets it run full is
 * dropped, so that its slowness never keeps a slot taken.
 */
import { ByteQueue } from '../base/byte-queue.ts'
import type { Clock } from '../base/clock.ts'
import type { Listed, LiveList } from '../base/live-list.ts'
import { formatDuration } from '../base/units.ts'
import type { Call } from '../core/call.ts'
import { CorralError, type ErrorCode } from '../core/errors.ts'
import type { InferenceRequest, Usage } from '../core/relay.ts'
import { type Judgement, judgeResponse } from '../wire/blame.ts'
import { checkWholeBody, createStreamReader, readWholeUsage, type StreamReader } from '../wire/stream-reader.ts'
import type { Claim } from './admission.ts'
import { firstFrameBudgetMs, idleBudgetMs } from './deadlines.ts'
import type { FleetOptions } from './options.ts'
import type { Exchange, ResponseHandler, ResponseHeaders, TransportError } from './transport.ts'

/** Why a try failed, and what follows from it. */
export interface Failure {
  readonly error: CorralError
  /** The node's own answer, to be passed on when nobody else can do better. */
  readonly response: { readonly status: number; readonly headers: ResponseHeaders; readonly body: Buffer } | null
  readonly kind: Judgement['kind'] | 'connect' | 'local' | 'reset' | 'timeout' | 'protocol' | 'truncated' | 'stalled'
  readonly retry: 'elsewhere' | 'never'
  /** A keep-alive race: the same node may be asked once more. */
  readonly reusedSocket: boolean
}

/** How a stream ended after its head was sent. */
export interface StreamEnd {
  readonly kind: 'ok' | 'broken' | 'client_gone' | 'client_too_slow' | 'silent'
  readonly error: CorralError | null
  /** True when the node said that its runner died. */
  readonly runnerDied?: boolean
}

/** What a try tells its dispatcher. Exactly one of `onWhole`, `onFailure`, or `onFirstFrame` then `onStreamEnd`. */
export interface AttemptSink {
  onFirstFrame(attempt: Attempt, frames: ByteQueue): void
  onWhole(attempt: Attempt, body: Buffer): void
  onFailure(attempt: Attempt, failure: Failure): void
  onStreamEnd(attempt: Attempt, end: StreamEnd): void
}

export interface AttemptDeps {
  readonly clock: Clock
  readonly options: FleetOptions
  /** Attempts that the sweep looks after. */
  readonly active: LiveList<Attempt>
  readonly sink: AttemptSink
}

/** A node that is down by its probes and silent for this long has lost its streams, too. */
const silentOnDownNodeMs = 1_500
/** How long a node may keep a body open after its last frame. */
const unendedBodyMs = 1_000

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
  bytes = 0
  usage: Usage | null = null
  #exchange: Exchange | null = null
  #reader: StreamReader | null = null
  #frames: ByteQueue | null = null
  #chunks: Buffer[] = []
  #state: 'open' | 'streaming' | 'ended' = 'open'
  #terminated = false
  #headAtMs = 0
  #lastByteMs: number
  /** Differs from the last byte's on a node that drips a frame which it never completes. */
  #lastFrameMs: number
  #longestPauseMs = 0
  readonly #firstFrameBudgetMs: number

  constructor(deps: AttemptDeps, request: InferenceRequest, call: Call, claim: Claim) {
    this.#deps = deps
    this.request = request
    this.call = call
    this.claim = claim
    this.startedAtMs = deps.clock.nowMs()
    this.#lastByteMs = this.startedAtMs
    this.#lastFrameMs = this.startedAtMs
    this.#firstFrameBudgetMs = firstFrameBudgetMs(claim.runner, request, deps.options.deadlines)
  }

  get frameCount(): number {
    return this.#reader?.frames ?? 0
  }

  get streaming(): boolean {
    return this.#state === 'streaming'
  }

  /** Sends the request. `headers` are complete. */
  start(headers: string[]): void {
    const { request } = this
    this.#deps.active.add(this)
    const body = request.body.length === 0 ? null : request.body
    const wire = { method: request.method, path: request.target, headers, body }
    const exchange = this.claim.runner.fleetNode.transport.open(wire, this)
    if (this.#state === 'ended') exchange.abort('ended')
    else this.#exchange = exchange
  }

  /** Stops the upstream without a report: the dispatcher knows why. Safe at any time. */
  abort(reason: string): void {
    if (this.#state === 'ended') return
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
    this.#headAtMs = this.#deps.clock.nowMs()
    this.#lastByteMs = this.#headAtMs
    const encoding = headers['content-encoding']
    if (encoding !== undefined && encoding !== 'identity') {
      this.#failProtocol(`a body in content-encoding ${String(encoding)}`)
      return
    }
    if (status >= 300 && status < 400) {
      this.#failProtocol(`a redirect (${status})`)
      return
    }
    if (status === 200 && this.#isStream(headers)) {
      this.#reader = createStreamReader(this.request.route, { frameBytesMax: this.#deps.options.frameBytesMax })
    }
  }

  #isStream(headers: ResponseHeaders): boolean {
    const { route } = this.request
    if (!route.streams) return false
    const type = String(headers['content-type'] ?? '')
    if (route.framing === 'ndjson') return type.startsWith('application/x-ndjson')
    if (route.framing === 'sse') return type.startsWith('text/event-stream')
    return true
  }

  onData(chunk: Buffer): void {
    const nowMs = this.#deps.clock.nowMs()
    if (this.#state === 'streaming' && nowMs - this.#lastByteMs > this.#longestPauseMs) {
      this.#longestPauseMs = nowMs - this.#lastByteMs
    }
    this.#lastByteMs = nowMs
    this.bytes += chunk.length
    if (this.#reader === null) this.#collect(chunk)
    else this.#read(this.#reader, chunk, nowMs)
  }

  #collect(chunk: Buffer): void {
    if (this.bytes > this.#deps.options.wholeBytesMax) {
      this.#failProtocol(`an answer over ${this.#deps.options.wholeBytesMax} bytes`)
      return
    }
    this.#chunks.push(chunk)
  }

  #read(reader: StreamReader, chunk: Buffer, nowMs: number): void {
    if (this.#terminated) {
      this.#endTerminated('bytes after the last frame')
      return
    }
    const step = reader.push(chunk)
    if (step.forward !== null) {
      this.#lastFrameMs = nowMs
      if (!this.#forward(step.forward, nowMs)) return
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
        this.#broken('node_protocol', `sent a malformed frame${step.message === null ? '' : `: ${step.message}`}`, 'protocol')
        return
      case 'oversize':
        this.#broken('node_protocol', `sent a frame over ${this.#deps.options.frameBytesMax} bytes`, 'protocol')
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
    if (this.#state === 'ended') return
    this.abort(message)
    const error = new CorralError(kind, message)
    this.usage = this.#reader?.usage ?? null
    this.#deps.sink.onStreamEnd(this, { kind, error })
  }

  #errorFrame(message: string, event: 'error' | 'died'): void {
    const { runner } = this.claim
    const judgement = judgeResponse(this.request.route, this.#frames === null ? 500 : 200, JSON.stringify({ error: message }))
    const code: ErrorCode = judgement.fault === 'client' ? 'invalid_request' : 'node_failed'
    const error = new CorralError(code, `${runner.node}: ${judgement.message}`, { node: runner.node })
    this.#exchange?.abort('error frame')
    const kind = event === 'died' ? 'runner_died' : judgement.kind
    if (this.#frames === null) this.#fail({ error, response: null, kind, retry: judgement.retry })
    else this.#endStream({ kind: judgement.fault === 'client' ? 'silent' : 'broken', error, runnerDied: kind === 'runner_died' })
  }

  /** The answer is complete but the node does not end its body: the connection is of no use any more. */
  #endTerminated(reason: string): void {
    this.#exchange?.abort(reason)
    this.#endStream({ kind: 'ok', error: null })
  }

  onEnd(): void {
    if (this.#state === 'ended') return
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
    if (this.#frames === null) this.#fail({ error, response: null, kind: 'truncated', retry: 'elsewhere' })
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
    if (this.status >= 400) {
      this.#failStatus(body)
      return
    }
    if (checkWholeBody(route, this.status, body) === 'malformed') {
      this.#failProtocol('a body that is no JSON')
      return
    }
    this.usage = readWholeUsage(route, body)
    this.#end()
    this.#deps.sink.onWhole(this, body)
  }

  #failStatus(body: Buffer): void {
    const judgement = judgeResponse(this.request.route, this.status, body.toString('utf8', 0, 65_536))
    const { node } = this.claim.runner
    const error = new CorralError('node_failed', `${node}: ${judgement.message}`, { node, status: this.status })
    const response = { status: this.status, headers: this.headers, body }
    this.#fail({ error, response, kind: judgement.kind, retry: judgement.retry })
  }

  #failProtocol(what: string): void {
    this.#exchange?.abort('protocol')
    this.#broken('node_protocol', `sent ${what}`, 'protocol')
  }

  /** A failure by the node's fault, before or after the head. */
  #broken(code: ErrorCode, what: string, kind: Failure['kind']): void {
    if (this.#state === 'ended') return
    const { node } = this.claim.runner
    const error = new CorralError(code, `${node} ${what}`, { node })
    this.#exchange?.abort(kind)
    if (this.#frames !== null) this.#endStream({ kind: 'broken', error })
    else this.#fail({ error, response: null, kind, retry: 'elsewhere' })
  }

  #fail(failure: Omit<Failure, 'reusedSocket'> & { reusedSocket?: boolean }): void {
    this.#end()
    this.#deps.sink.onFailure(this, { ...failure, reusedSocket: failure.reusedSocket ?? false })
  }

  onError(cause: TransportError): void {
    if (this.#state === 'ended') return
    const { node } = this.claim.runner
    if (this.#frames !== null) {
      if (this.#terminated) {
        this.#endStream({ kind: 'ok', error: null })
        return
      }
      const error = new CorralError('stream_truncated', `${node} broke off the stream: ${cause.message}`, { node, cause })
      this.#endStream({ kind: 'broken', error })
      return
    }
    const code = cause.kind === 'local' ? 'no_node' : cause.kind === 'timeout' ? 'node_timeout' : 'node_failed'
    const error = new CorralError(code, `${node}: ${cause.message}`, { node, cause })
    const kind = cause.kind === 'connect' || cause.kind === 'local' || cause.kind === 'protocol' ? cause.kind : 'reset'
    const fresh = this.status === 0
    this.#fail({ error, response: null, kind, retry: 'elsewhere', reusedSocket: fresh && cause.reusedSocket })
  }

  /** Looks at the deadlines; called by the sweep some times a second. */
  check(nowMs: number): void {
    if (this.#state === 'open') this.#checkOpen(nowMs)
    else if (this.#state === 'streaming') this.#checkStream(nowMs)
  }

  #checkOpen(nowMs: number): void {
    const silentMs = nowMs - this.#lastByteMs
    const budgetMs = this.#firstFrameBudgetMs
    const { firstFrameMsMax, wholeBodyMsMax } = this.#deps.options.deadlines
    if (this.claim.runner.fleetNode.up === false) {
      this.#broken('node_failed', 'went down before it answered', 'reset')
    } else if (nowMs - this.startedAtMs > budgetMs && silentMs > budgetMs) {
      this.#broken('node_timeout', `sent nothing for ${formatDuration(silentMs)}`, 'timeout')
    } else if (this.#reader !== null && nowMs - this.#headAtMs > firstFrameMsMax) {
      this.#broken('node_timeout', `sent no whole frame for ${formatDuration(nowMs - this.#headAtMs)}`, 'timeout')
    } else if (this.#headAtMs > 0 && nowMs - this.#headAtMs > wholeBodyMsMax) {
      this.#broken('node_timeout', `did not end its answer for ${formatDuration(nowMs - this.#headAtMs)}`, 'timeout')
    }
  }

  #checkStream(nowMs: number): void {
    const silentMs = nowMs - this.#lastByteMs
    if (this.#terminated) {
      if (silentMs > unendedBodyMs) this.#endTerminated('body not ended')
      return
    }
    const { runner } = this.claim
    const { deadlines } = this.#deps.options
    const idleMs = idleBudgetMs(runner, this.#longestPauseMs, this.#holdsBack, deadlines)
    const unframedMs = nowMs - this.#lastFrameMs
    if (silentMs > idleMs) this.#broken('stream_stalled', `sent nothing for ${formatDuration(silentMs)}`, 'stalled')
    else if (unframedMs > Math.max(idleMs, deadlines.idleMsMax)) {
      this.#broken('stream_stalled', `sent no whole frame for ${formatDuration(unframedMs)}`, 'stalled')
    } else if (runner.fleetNode.up === false && silentMs > silentOnDownNodeMs) {
      this.#broken('stream_stalled', 'went down mid-stream', 'stalled')
    } else if (nowMs - this.firstFrameAtMs > deadlines.streamMsMax) this.#endless(nowMs)
  }

  /** A model that never stops (`num_predict: -1`) is nobody's fault. */
  #endless(nowMs: number): void {
    const { node } = this.claim.runner
    const message = `${node} streamed for ${formatDuration(nowMs - this.firstFrameAtMs)}, longer than is allowed`
    this.#exchange?.abort('endless')
    this.#endStream({ kind: 'silent', error: new CorralError('node_timeout', message, { node }) })
  }

  get #holdsBack(): boolean {
    const { fields } = this.request.envelope
    return fields.has('tools') || fields.has('format') || fields.has('response_format')
  }
}
