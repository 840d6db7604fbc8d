/**
 * Reads a request body into memory under three bounds: its size, the pause between two pieces, and the client's presence.
 * It throws `body_too_large`, `body_timeout` or `client_gone`; after the first two the connection must be closed, since the
 * rest of the body is never read.
 */
import type { IncomingMessage } from 'node:http'

import type { Clock, Timer } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'

export interface BodyLimits {
  readonly bytesMax: number
  readonly pauseMsMax: number
}

const empty = Buffer.alloc(0)

export function readBody(incoming: IncomingMessage, limits: BodyLimits, clock: Clock): Promise<Buffer> {
  const declared = Number(incoming.headers['content-length'] ?? Number.NaN)
  if (declared > limits.bytesMax) return Promise.reject(tooLarge(limits.bytesMax))
  if (declared === 0 || (Number.isNaN(declared) && incoming.headers['transfer-encoding'] === undefined)) {
    incoming.resume()
    return Promise.resolve(empty)
  }
  return new Promise((resolve, reject) => new BodyReader(incoming, limits, clock, { resolve, reject }))
}

function tooLarge(bytesMax: number): CorralError {
  return new CorralError('body_too_large', `the request body is over ${bytesMax} bytes (http.bodyBytesMax)`)
}

interface Settle {
  resolve(body: Buffer): void
  reject(error: CorralError): void
}

class BodyReader {
  readonly #incoming: IncomingMessage
  readonly #limits: BodyLimits
  readonly #settle: Settle
  readonly #chunks: Buffer[] = []
  #bytes = 0
  #lastByteMs: number
  #timer: Timer | null = null
  readonly #clock: Clock

  constructor(incoming: IncomingMessage, limits: BodyLimits, clock: Clock, settle: Settle) {
    this.#incoming = incoming
    this.#limits = limits
    this.#clock = clock
    this.#settle = settle
    this.#lastByteMs = clock.nowMs()
    incoming.on('data', this.#onData)
    incoming.on('end', this.#onEnd)
    incoming.on('close', this.#onClose)
    this.#watch(limits.pauseMsMax)
  }

  #watch(delayMs: number): void {
    this.#timer = this.#clock.after(delayMs, () => {
      const leftMs = this.#lastByteMs + this.#limits.pauseMsMax - this.#clock.nowMs()
      if (leftMs > 0) this.#watch(leftMs)
      else this.#fail(new CorralError('body_timeout', `no byte of the request body for ${this.#limits.pauseMsMax} ms`))
    })
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length
    if (this.#bytes > this.#limits.bytesMax) {
      this.#fail(tooLarge(this.#limits.bytesMax))
      return
    }
    this.#lastByteMs = this.#clock.nowMs()
    this.#chunks.push(chunk)
  }

  readonly #onEnd = (): void => {
    this.#detach()
    const only = this.#chunks[0]
    this.#settle.resolve(this.#chunks.length === 1 && only !== undefined ? only : Buffer.concat(this.#chunks))
  }

  readonly #onClose = (): void => {
    this.#fail(new CorralError('client_gone', 'the client left while it sent its body'))
  }

  #fail(error: CorralError): void {
    this.#detach()
    this.#incoming.pause()
    this.#settle.reject(error)
  }

  #detach(): void {
    this.#timer?.cancel()
    this.#incoming.off('data', this.#onData)
    this.#incoming.off('end', this.#onEnd)
    this.#incoming.off('close', this.#onClose)
  }
}
