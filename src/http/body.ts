/**
 * Reads a request body into memory under three bounds: its size, the pause between two pieces, and the client's presence.
 * It throws `body_too_large`, `body_timeout` or `client_gone`; after the first two the connection must be closed, since the
 * rest of the body is never read.
 */
import type { IncomingMessage } from 'node:http'

import type { Clock } from '../base/clock.ts'
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

/** How often pauses are looked at: one timer for all bodies, because one per request shows in a profile. */
const watchEveryMs = 250
/** Readers whose body has not ended, with the timer that looks at them while there are any. */
class Watch {
  readonly readers = new Set<BodyReader>()
  readonly #clock: Clock
  #scheduled = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(reader: BodyReader): void {
    this.readers.add(reader)
    if (!this.#scheduled) this.#schedule()
  }

  #schedule(): void {
    this.#scheduled = true
    this.#clock.after(watchEveryMs, () => {
      this.#scheduled = false
      const nowMs = this.#clock.nowMs()
      for (const reader of this.readers) reader.check(nowMs)
      if (this.readers.size > 0) this.#schedule()
    })
  }
}

const watches = new WeakMap<Clock, Watch>()

function watchOf(clock: Clock): Watch {
  let watch = watches.get(clock)
  if (watch === undefined) {
    watch = new Watch(clock)
    watches.set(clock, watch)
  }
  return watch
}

class BodyReader {
  readonly #incoming: IncomingMessage
  readonly #limits: BodyLimits
  readonly #settle: Settle
  readonly #chunks: Buffer[] = []
  readonly #watch: Watch
  readonly #clock: Clock
  #bytes = 0
  #lastByteMs: number

  constructor(incoming: IncomingMessage, limits: BodyLimits, clock: Clock, settle: Settle) {
    this.#incoming = incoming
    this.#limits = limits
    this.#clock = clock
    this.#settle = settle
    this.#lastByteMs = clock.nowMs()
    this.#watch = watchOf(clock)
    this.#watch.add(this)
    incoming.on('data', this.#onData)
    incoming.on('end', this.#onEnd)
    incoming.on('close', this.#onClose)
  }

  /** Fails the read when nothing came for too long. */
  check(nowMs: number): void {
    if (nowMs - this.#lastByteMs < this.#limits.pauseMsMax) return
    this.#fail(new CorralError('body_timeout', `no byte of the request body for ${this.#limits.pauseMsMax} ms`))
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length
    if (this.#bytes > this.#limits.bytesMax) {
      this.#fail(tooLarge(this.#limits.bytesMax))
      return
    }
    this.#chunks.push(chunk)
    if (this.#chunks.length > 1) this.#lastByteMs = this.#clock.nowMs()
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
    this.#watch.readers.delete(this)
    this.#incoming.off('data', this.#onData)
    this.#incoming.off('end', this.#onEnd)
    this.#incoming.off('close', this.#onClose)
  }
}
