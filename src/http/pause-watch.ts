/** Uploads that are handed on as they come, and how long one may stand still. Bodies that are read into memory have `body.ts`. */
import type { IncomingMessage } from 'node:http'

import type { Clock, Timer } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'

/** Ends an upload in which no byte moves for one to two pauses: the client sends none, or what it goes to takes none. */
export class PauseWatch {
  /** Rejects when the upload stands still; never resolves. */
  readonly broken: Promise<never>
  readonly #source: IncomingMessage
  readonly #clock: Clock
  readonly #pauseMsMax: number
  #bytesRead: number
  #timer: Timer
  #reject: (error: CorralError) => void = () => undefined

  constructor(source: IncomingMessage, clock: Clock, pauseMsMax: number) {
    this.#source = source
    this.#clock = clock
    this.#pauseMsMax = pauseMsMax
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
    const { bytesRead } = this.#source.socket
    if (this.#source.complete) return
    if (bytesRead === this.#bytesRead) {
      this.#reject(new CorralError('body_timeout', `no byte of the upload moved for ${this.#pauseMsMax} ms`))
      return
    }
    this.#bytesRead = bytesRead
    this.#timer = this.#clock.after(this.#pauseMsMax, this.#check)
  }
}
