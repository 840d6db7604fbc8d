/** Failures of a moment ago, by key: a storm of retries of one request does not fall on the nodes again at once. Bounded. */
import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'

const failuresMax = 1_000

export class Failures {
  readonly #clock: Clock
  readonly #failures = new Map<string, { readonly error: CorralError; readonly untilMs: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Marks `key` for `forMs`. Only what a node did counts: a client's error or a full queue is an answer of its own. */
  add(key: string, error: CorralError, forMs: number): void {
    if (error.fault !== 'node' || forMs <= 0) return
    if (this.#failures.size >= failuresMax) this.#failures.clear()
    this.#failures.set(key, { error, untilMs: this.#clock.nowMs() + forMs })
  }

  /** The error for a request that comes too soon; null: none. */
  get(key: string): CorralError | null {
    if (this.#failures.size === 0) return null
    const failure = this.#failures.get(key)
    if (failure === undefined) return null
    const leftMs = failure.untilMs - this.#clock.nowMs()
    if (leftMs <= 0) {
      this.#failures.delete(key)
      return null
    }
    const { code, message, status, node } = failure.error
    return new CorralError(code, message, { status, retryAfterMs: leftMs, ...(node === null ? {} : { node }) })
  }

  delete(key: string): void {
    this.#failures.delete(key)
  }
}
