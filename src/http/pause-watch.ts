/** Uploads that are handed on as they come, and how long one may stand still. Bodies that are read into memory have `body.ts`. */
import type { Clock, Timer } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'

/** What is looked at of a request. */
interface WatchedUpload {
  readonly complete: boolean
  readonly socket: { readonly bytesRead: number }
  /** Whether what it goes to takes none, which then is bounded there; left out: that counts as standing still. */
  readonly isHeldUp?: () => boolean
}

/** Ends an upload in which no byte moves for one to two pauses. */
export class PauseWatch {
  /** Rejects when the upload stands still; never resolves. */
  readonly broken: Promise<never>
  readonly #source: WatchedUpload
  /** As it was at the start: a request that was destroyed has none. */
  readonly #socket: WatchedUpload['socket']
  readonly #clock: Clock
  readonly #pauseMsMax: number
  #bytesRead: number
  #timer: Timer
  #reject: (error: CorralError) => void = () => undefined

  constructor(source: WatchedUpload, clock: Clock, pauseMsMax: number) {
    this.#source = source
    this.#clock = clock
    this.#pauseMsMax = pauseMsMax
    this.#socket = source.socket
    this.#bytesRead = source.socket.bytesRead
    this.broken = new Promise((_, reject) => {
      this.#reject = reject
    })
    this.#timer = clock.after(pauseMsMax, this.#check)
  }

  stop(): void {
    this.#timer.cancel()
  }

  readonly #check = (): void => {
    const { bytesRead } = this.#socket
    if (this.#source.complete) return
    if (bytesRead === this.#bytesRead && this.#source.isHeldUp?.() !== true) {
      this.#reject(new CorralError('body_timeout', `no byte of the upload moved for ${this.#pauseMsMax} ms`))
      return
    }
    this.#bytesRead = bytesRead
    this.#timer = this.#clock.after(this.#pauseMsMax, this.#check)
  }
}
