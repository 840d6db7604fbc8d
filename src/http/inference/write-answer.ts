/**
 * From an `Answer` to bytes on the client's socket. Frames are written as they come; a client that takes nothing for
 * `stallMs` is dropped, and the bounded queue behind `frames` drops one that reads too slowly.
 */
import type { ServerResponse } from 'node:http'

import type { ByteConsumer, ByteQueue } from '../../base/byte-queue.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'
import type { Answer, InferenceRequest, Provenance, StreamAnswer, WholeAnswer } from '../../core/relay.ts'
import { decodeErrorMessage, renderStreamError } from '../../wire/render-error.ts'
import { endWith } from './flush.ts'

export interface WriteOptions {
  readonly clock: Clock
  readonly stallMs: number
  /** Whether `X-Corral-Node` and `X-Corral-Route` are sent. */
  readonly routeHeaders: boolean
}

/** Whether a client hears why its call was ended: not when it is gone itself, or takes nothing. */
export function isTold(reason: unknown): reason is CorralError {
  return reason instanceof CorralError && reason.code !== 'client_too_slow'
}

/** The node's headers and our own, as a flat list. */
function answerHeaders(answer: Answer, call: Call, routeHeaders: boolean): (string | string[])[] {
  const headers: (string | string[])[] = []
  const { bypassHeaders } = call.progress
  for (const name in answer.headers) {
    const value = answer.headers[name]
    if (value !== undefined && (bypassHeaders === null || !(name in bypassHeaders))) headers.push(name, value)
  }
  for (const name in bypassHeaders) headers.push(name, bypassHeaders[name] ?? '')
  headers.push('x-request-id', call.id)
  if (routeHeaders) for (const [name, value] of namesOfRoute(answer.provenance)) headers.push(name, value)
  return headers
}

/** Where an answer came from and why from there, as headers. */
export function namesOfRoute(provenance: Pick<Provenance, 'node' | 'reason' | 'attempts' | 'failedNodes'>): readonly [string, string][] {
  const { node, reason, attempts, failedNodes } = provenance
  const names: [string, string][] = node === null ? [] : [['x-corral-node', node]]
  names.push(['x-corral-route', attempts > 1 ? `${reason}; attempts=${attempts}` : reason])
  if (failedNodes !== undefined) names.push(['x-corral-failed-nodes', failedNodes.join(', ')])
  return names
}

/**
 * Writes a complete answer. `headSent`: the head went out early, so an error goes in band. Resolves when all is written or
 * the client is gone; null when that is so already.
 */
export function writeWhole(
  outgoing: ServerResponse,
  answer: WholeAnswer,
  { request, call, options, headSent }: { request: InferenceRequest; call: Call; options: WriteOptions; headSent: boolean },
): Promise<void> | null {
  if (headSent) return endWith(outgoing, inBand(answer, request, call), { ...options, call })
  const headers = answerHeaders(answer, call, options.routeHeaders)
  headers.push('content-length', String(answer.body.length))
  outgoing.writeHead(answer.status, headers)
  return endWith(outgoing, answer.body, { ...options, call })
}

function inBand(answer: WholeAnswer, request: InferenceRequest, call: Call): Buffer {
  if (answer.status !== 200) {
    const message = decodeErrorMessage(answer.body)
    return renderStreamError(request.route, new CorralError('node_failed', message, { status: answer.status }), call.id)
  }
  // A whole object has none of the fields that a client of events reads: it would end in a crash there, or in an empty answer.
  if (request.route.framing === 'sse') {
    const error = new CorralError('node_protocol', 'the node answered with a whole body where a stream of events was asked for')
    return renderStreamError(request.route, error, call.id)
  }
  return answer.body.at(-1) === 0x0a ? answer.body : Buffer.concat([answer.body, Buffer.from('\n')])
}

/** Writes a stream to its end. Resolves when the last byte was handed to the socket or the client is gone. */
export function writeStream(
  outgoing: ServerResponse,
  answer: StreamAnswer,
  { request, call, options, headSent }: { request: InferenceRequest; call: Call; options: WriteOptions; headSent: boolean },
): Promise<void> {
  if (outgoing.destroyed) {
    answer.frames.cancel('the client left')
    return Promise.resolve()
  }
  if (!headSent) {
    const headers = answerHeaders(answer, call, options.routeHeaders)
    headers.push('x-accel-buffering', 'no')
    outgoing.writeHead(answer.status, headers)
  }
  return new Promise((resolve) => {
    answer.frames.attach(new StreamWriter(outgoing, answer.frames, { request, call, options, done: resolve }))
  })
}

const crlf = '\r\n'
const lastChunk = Buffer.from('0\r\n\r\n')

/** Hands frames to the client's socket; waits when it is full, for at most `stallMs`. */
class StreamWriter implements ByteConsumer {
  readonly #outgoing: ServerResponse
  readonly #frames: ByteQueue
  readonly #request: InferenceRequest
  readonly #call: Call
  readonly #options: WriteOptions
  readonly #done: () => void
  readonly #framesChunks: boolean
  #stall: Timer | null = null

  constructor(
    outgoing: ServerResponse,
    frames: ByteQueue,
    { request, call, options, done }: { request: InferenceRequest; call: Call; options: WriteOptions; done: () => void },
  ) {
    this.#outgoing = outgoing
    this.#frames = frames
    this.#request = request
    this.#call = call
    this.#options = options
    this.#done = done
    // Node writes a chunk in four pieces; one buffer with the size in front costs half of that.
    this.#framesChunks = outgoing.chunkedEncoding
    outgoing.chunkedEncoding = false
    outgoing.on('close', this.#onClose)
    call.signal.on(this.#onAbort)
  }

  take(chunk: Buffer): boolean {
    if (chunk.length === 0) return this.#breakOff()
    if (this.#outgoing.write(this.#framesChunks ? frameChunk(chunk) : chunk)) return true
    this.#waitForDrain()
    return false
  }

  /** The route has no words for an error: only a broken connection tells the client that its answer is not complete. */
  #breakOff(): true {
    this.#outgoing.destroy()
    return true
  }

  #waitForDrain(): void {
    const { clock, stallMs } = this.#options
    this.#outgoing.once('drain', this.#onDrain)
    this.#stall = clock.after(stallMs, () => {
      this.#call.signal.abort(new CorralError('client_too_slow', `the client took nothing for ${stallMs} ms`))
    })
  }

  readonly #onDrain = (): void => {
    this.#stall?.cancel()
    this.#frames.resume()
  }

  end(): void {
    this.#outgoing.off('close', this.#onClose)
    this.#call.signal.off(this.#onAbort)
    if (this.#framesChunks) this.#outgoing.end(lastChunk)
    else this.#outgoing.end()
    this.#done()
  }

  /** A call that is ended from this side, by an operator or a shutdown, tells its client so. */
  readonly #onAbort = (reason: unknown): void => {
    if (!isTold(reason)) return
    this.#stall?.cancel()
    const last = renderStreamError(this.#request.route, reason, this.#call.id)
    if (last.length === 0) this.#breakOff()
    else this.#outgoing.write(this.#framesChunks ? frameChunk(last) : last)
    this.#frames.cancel('the call was ended')
    this.end()
  }

  readonly #onClose = (): void => {
    this.#call.signal.off(this.#onAbort)
    this.#stall?.cancel()
    this.#frames.cancel('the client left')
    this.#done()
  }
}

/** A chunk of HTTP/1.1's chunked encoding. */
function frameChunk(chunk: Buffer): Buffer {
  const size = chunk.length.toString(16)
  const framed = Buffer.allocUnsafe(size.length + chunk.length + 2 * crlf.length)
  let at = framed.write(size, 'latin1')
  at += framed.write(crlf, at, 'latin1')
  at += chunk.copy(framed, at)
  framed.write(crlf, at, 'latin1')
  return framed
}
