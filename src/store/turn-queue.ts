/**
 * One at a time, in order of arrival, with a bound on how many wait and for how long: what a pool is to Postgres, this is to
 * the one connection of the embedded store.
 */
import { type Clock, type Timer } from '../base/clock.ts'
import { unavailable } from './sql-errors.ts'

interface Waiter {
  readonly go: () => void
  readonly refuse: (error: Error) => void
  readonly timer: Timer
}

export interface TurnQueueSettings {
  readonly clock: Clock
  readonly waitersMax: number
  readonly waitMs: number
}

export class TurnQueue {
  readonly #settings: TurnQueueSettings
  readonly #waiters = new Set<Waiter>()
  #taken = false
  #closed = false

  constructor(settings: TurnQueueSettings) {
    this.#settings = settings
  }

  /** Whether somebody has the turn. */
  get taken(): boolean {
    return this.#taken
  }

  /** How many wait for theirs. */
  get waiting(): number {
    return this.#waiters.size
  }

  /** Resolves when it is the caller's turn, who then calls `next` once; throws `store_unavailable`. */
  async take(): Promise<void> {
    if (this.#closed) throw unavailable('the database is being closed')
    if (!this.#taken) {
      this.#taken = true
      return
    }
    const { clock, waitersMax, waitMs } = this.#settings
    if (this.#waiters.size >= waitersMax) throw unavailable(`${waitersMax} transactions already wait for the embedded database`)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = clock.after(waitMs, () => {
      this.#waiters.delete(waiter)
      reject(unavailable(`the embedded database was busy for ${waitMs} ms`))
    })
    const waiter: Waiter = { go: resolve, refuse: reject, timer }
    this.#waiters.add(waiter)
    await promise
  }

  /** Ends the caller's turn. */
  next(): void {
    const [waiter] = this.#waiters
    if (waiter === undefined) {
      this.#taken = false
      return
    }
    this.#waiters.delete(waiter)
    waiter.timer.cancel()
    waiter.go()
  }

  /** Refuses all who wait and all who come. */
  close(): void {
    this.#closed = true
    for (const waiter of this.#waiters) {
      waiter.timer.cancel()
      waiter.refuse(unavailable('the database is being closed'))
    }
    this.#waiters.clear()
  }
}
