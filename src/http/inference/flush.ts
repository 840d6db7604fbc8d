/**
 * The last part of an answer: from "all is written" to "the client took it". A client that takes nothing for `stallMs` is
 * dropped here too, and a large answer goes out in pieces, so that a slow reader who does take bytes is told from a dead one.
 */
import type { ServerResponse } from 'node:http'

import type { Clock } from '../../base/clock.ts'
import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'

export interface FlushOptions {
  readonly clock: Clock
  readonly stallMs: number
  readonly call: Call
}

/** Bodies up to this size are written at once. */
const pieceBytes = 262_144
/** Bodies up to this size go out as text: Node then puts head and body into one write instead of a list of two. */
const textBytesMax = 16_384

/** Ends the answer with `body`. Resolves when it was written or the client is gone; null when that is so already. */
export function endWith(outgoing: ServerResponse, body: Buffer, options: FlushOptions): Promise<void> | null {
  if (body.length > pieceBytes) return endInPieces(outgoing, body, options)
  if (body.length > textBytesMax) outgoing.end(body)
  else outgoing.end(body.latin1Slice(0, body.length), 'latin1')
  return null
}

async function endInPieces(outgoing: ServerResponse, body: Buffer, options: FlushOptions): Promise<void> {
  for (let at = 0; at < body.length; at += pieceBytes) {
    if (outgoing.destroyed) return
    if (!outgoing.write(body.subarray(at, at + pieceBytes))) await nextOf(outgoing, 'drain', options)
  }
  outgoing.end()
}

/** Resolves when an ended answer has left, or the client is gone; null when that is so already. */
export function flushed(outgoing: ServerResponse, options: FlushOptions): Promise<void> | null {
  if (outgoing.writableLength === 0 || outgoing.destroyed || !outgoing.writableEnded) return null
  return nextOf(outgoing, 'finish', options)
}

/** Waits for `event` or the end of the connection, which it brings about after `stallMs`. */
function nextOf(outgoing: ServerResponse, event: 'drain' | 'finish', { clock, stallMs, call }: FlushOptions): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(stallMs, () => {
      call.signal.abort(new CorralError('client_too_slow', `the client took nothing for ${stallMs} ms`))
      // A call that was cancelled before says nothing a second time.
      outgoing.destroy()
    })
    const settle = (): void => {
      timer.cancel()
      outgoing.off(event, settle)
      outgoing.off('close', settle)
      resolve()
    }
    outgoing.on(event, settle)
    outgoing.on('close', settle)
  })
}
