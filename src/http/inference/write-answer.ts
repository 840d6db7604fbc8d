/**
 * From an `Answer` to bytes on the client's socket. Frames are written as they come; a client that takes nothing for
 * `stallMs` is dropped, and the bounded queue behind `frames` drops one that reads too slowly.
 */
import type { ServerResponse } from 'node:http'

import type { Clock } from '../../base/clock.ts'
import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'
import type { Answer, InferenceRequest, StreamAnswer, WholeAnswer } from '../../core/relay.ts'
import { decodeErrorMessage, renderStreamError } from '../../wire/render-error.ts'

export interface WriteOptions {
  readonly clock: Clock
  readonly stallMs: number
  /** Whether `X-Corral-Node` and `X-Corral-Route` are sent. */
  readonly routeHeaders: boolean
}

type OutgoingHeaders = Record<string, string | string[]>

/** Headers of every answer, besides the node's own. */
export function answerHeaders(answer: Answer, call: Call, routeHeaders: boolean): OutgoingHeaders {
  const headers: OutgoingHeaders = { ...answer.headers, 'x-request-id': call.id }
  if (!routeHeaders) return headers
  const { node, reason, attempts } = answer.provenance
  if (node !== null) headers['x-corral-node'] = node
  headers['x-corral-route'] = attempts > 1 ? `${reason}; attempts=${attempts}` : reason
  return headers
}

/** Writes a complete answer. `headSent`: the head went out early, so an error goes in band. */
export function writeWhole(
  outgoing: ServerResponse,
  answer: WholeAnswer,
  { request, call, options, headSent }: { request: InferenceRequest; call: Call; options: WriteOptions; headSent: boolean },
): void {
  if (headSent) {
    outgoing.end(inBand(answer, request, call))
    return
  }
  const headers = answerHeaders(answer, call, options.routeHeaders)
  headers['content-length'] = String(answer.body.length)
  outgoing.writeHead(answer.status, headers)
  outgoing.end(answer.body)
}

function inBand(answer: WholeAnswer, request: InferenceRequest, call: Call): Buffer {
  if (answer.status !== 200) {
    const message = decodeErrorMessage(answer.body)
    return renderStreamError(request.route, new CorralError('node_failed', message, { status: answer.status }), call.id)
  }
  return answer.body.at(-1) === 0x0a ? answer.body : Buffer.concat([answer.body, Buffer.from('\n')])
}

/** Writes a stream to its end. Resolves when the last byte was handed to the socket or the client is gone. */
export async function writeStream(
  outgoing: ServerResponse,
  answer: StreamAnswer,
  { call, options, headSent }: { call: Call; options: WriteOptions; headSent: boolean },
): Promise<void> {
  if (!headSent) {
    const headers = answerHeaders(answer, call, options.routeHeaders)
    headers['x-accel-buffering'] = 'no'
    outgoing.writeHead(answer.status, headers)
  }
  const { frames } = answer
  for (;;) {
    const chunk = frames.take() ?? (await frames.next()).value
    if (chunk === undefined || outgoing.destroyed) break
    if (!outgoing.write(chunk) && !(await drained(outgoing, call, options))) break
  }
  if (outgoing.destroyed) frames.cancel('the client left')
  else outgoing.end()
}

/** True when the client took what was written; false when it is gone or was dropped for taking nothing. */
function drained(outgoing: ServerResponse, call: Call, { clock, stallMs }: WriteOptions): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(stallMs, () => {
      call.signal.abort(new CorralError('client_too_slow', `the client took nothing for ${stallMs} ms`))
    })
    const settle = (taken: boolean): void => {
      timer.cancel()
      outgoing.off('drain', onDrain)
      outgoing.off('close', onClose)
      resolve(taken)
    }
    const onDrain = (): void => settle(true)
    const onClose = (): void => settle(false)
    outgoing.on('drain', onDrain)
    outgoing.on('close', onClose)
    if (outgoing.destroyed) settle(false)
  })
}
