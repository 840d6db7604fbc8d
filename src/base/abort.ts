/**
 * A cancellation signal that costs a tenth of an `AbortController`: no event object, no `EventTarget`, no leak of
 * composed signals (nodejs/node#54614). One per call; listeners run in order of registration, once.
 */
export type AbortListener = (reason: unknown) => void

export class CallSignal {
  #reason: unknown = undefined
  #aborted = false
  /** A call has two or three listeners: an array beats a set. */
  #listeners: AbortListener[] = []

  get aborted(): boolean {
    return this.#aborted
  }

  get reason(): unknown {
    return this.#reason
  }

  /** Cancels. A second call has no effect. */
  abort(reason: unknown): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    const listeners = this.#listeners
    this.#listeners = []
    for (const listener of listeners) listener(reason)
  }

  /** Runs `listener` on abort, at once when already aborted. `off` removes it. */
  on(listener: AbortListener): void {
    if (this.#aborted) {
      listener(this.#reason)
      return
    }
    this.#listeners.push(listener)
  }

  off(listener: AbortListener): void {
    const listeners = this.#listeners
    if (listeners.at(-1) === listener) {
      listeners.pop()
      return
    }
    const index = listeners.indexOf(listener)
    if (index >= 0) listeners.splice(index, 1)
  }

  /** How many listeners wait: the soak test asserts that it returns to zero. */
  get listenerCount(): number {
    return this.#listeners.length
  }
}
