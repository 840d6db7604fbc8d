/**
 * Reads a request body into memory under three bounds: its size, the pause between two pieces, and the client's presence.
 * It throws `body_too_large`, `body_timeout` or `client_gone`; after the first two the connection must be closed, since the
 * rest of the body is never read.
 */
import type { IncomingMessage } from 'node:http'

import type { Clock } from '../base/clock.ts'
import { type Listed, LiveList } from '../base/live-list.ts'
import { CorralError } from '../core/errors.ts'

export interface BodyLimits {
  readonly bytesMax: number
  /** Whose limit that is, as the client is told: a key of the configuration, or what the body is for. */
  readonly bytesMaxName: string
  /** For all bodies being read together: many clients must not fill the memory that one alone may not. */
  readonly bytesMaxTogether: number
  readonly pauseMsMax: number
  /** The client's `Content-Length`; null when it sent none. */
  readonly declaredBytes: string | null
  readonly clock: Clock
  /** Monotonic ms of the request's arrival. */
  readonly arrivedAtMs: number
}

/** Hears how the reading ended, once. */
export interface BodyTaker {
  onBody(body: Buffer): void
  onBodyError(error: CorralError): void
}

/** Reads the body and hands it to `taker`. */
export function readBody(incoming: IncomingMessage, limits: BodyLimits, taker: BodyTaker): void {
  if (limits.declaredBytes !== null && Number(limits.declaredBytes) > limits.bytesMax) taker.onBodyError(tooLarge(limits))
  else new BodyReader(incoming, limits, taker).start()
}

function tooLarge({ bytesMax, bytesMaxName }: BodyLimits): CorralError {
  return new CorralError('body_too_large', `the request body is over ${bytesMax} bytes (${bytesMaxName})`)
}

/** The slowest link that is still a link: below it a body is an attack (a slow drip, F60). Counts after one full pause. */
const bytesPerSecondMin = 64
/** How often pauses are looked at: one timer for all bodies, because one per request shows in a profile. */
const watchEveryMs = 250
/** Readers whose body has not ended, with the timer that looks at them while there are any. */
class Watch {
  readonly readers = new LiveList<BodyReader>()
  /** Bytes read of bodies that have not ended. */
  bytes = 0
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
      this.readers.forEach((reader) => reader.check(nowMs))
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

class BodyReader implements Listed {
  place = 0
  readonly #incoming: IncomingMessage
  readonly #limits: BodyLimits
  readonly #taker: BodyTaker
  readonly #chunks: Buffer[] = []
  readonly #watch: Watch
  readonly #startedAtMs: number
  #bytes = 0
  /** Bytes at the last look, and when that last found new ones: a clock read per piece would cost more than a late verdict. */
  #bytesSeen = 0
  #lastByteMs: number
  /** Set at the end; later events mean nothing. Cheaper than taking three listeners off. */
  #over = false

  constructor(incoming: IncomingMessage, limits: BodyLimits, taker: BodyTaker) {
    this.#incoming = incoming
    this.#limits = limits
    this.#taker = taker
    this.#startedAtMs = limits.arrivedAtMs
    this.#lastByteMs = this.#startedAtMs
    this.#watch = watchOf(limits.clock)
  }

  start(): void {
    this.#watch.add(this)
    this.#incoming.on('data', this.#onData)
    this.#incoming.on('end', this.#onEnd)
    this.#incoming.on('close', this.#onClose)
  }

  /** Fails the read when nothing came for too long, or so little that the client can only mean to hold the connection. */
  check(nowMs: number): void {
    const { pauseMsMax } = this.#limits
    if (this.#bytes !== this.#bytesSeen) {
      this.#bytesSeen = this.#bytes
      this.#lastByteMs = nowMs
    }
    if (nowMs - this.#lastByteMs >= pauseMsMax) {
      this.#fail(new CorralError('body_timeout', `no byte of the request body for ${pauseMsMax} ms`))
      return
    }
    const elapsedMs = nowMs - this.#startedAtMs
    if (elapsedMs < pauseMsMax || this.#bytes >= (elapsedMs / 1_000) * bytesPerSecondMin) return
    this.#fail(new CorralError('body_timeout', `the request body came at less than ${bytesPerSecondMin} bytes per second`))
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#over) return
    this.#bytes += chunk.length
    this.#watch.bytes += chunk.length
    const { bytesMax, bytesMaxTogether } = this.#limits
    if (this.#bytes > bytesMax) {
      this.#fail(tooLarge(this.#limits))
      return
    }
    if (this.#watch.bytes > bytesMaxTogether) {
      this.#fail(
        new CorralError('bodies_full', `over ${bytesMaxTogether} bytes of request bodies are being read at once (http.bodiesBytesMax)`, {
          retryAfterMs: 1_000,
        }),
      )
      return
    }
    this.#chunks.push(chunk)
  }

  readonly #onEnd = (): void => {
    if (this.#over) return
    this.#detach()
    const only = this.#chunks[0]
    this.#taker.onBody(this.#chunks.length === 1 && only !== undefined ? only : Buffer.concat(this.#chunks))
  }

  readonly #onClose = (): void => {
    if (this.#over) return
    this.#fail(new CorralError('client_gone', 'the client left while it sent its body'))
  }

  #fail(error: CorralError): void {
    this.#detach()
    this.#incoming.pause()
    this.#taker.onBodyError(error)
  }

  #detach(): void {
    this.#watch.readers.remove(this)
    this.#watch.bytes -= this.#bytes
    this.#over = true
  }
}
