/**
 * A cancellation signal that costs a tenth of an `AbortController`: no event object, no `EventTarget`, no leak of
 * composed signals (nodejs/node#54614). One per call; listeners run in order of registration, once.
 */
export type AbortListener = (reason: unknown) => void

export class CallSignal {
  #reason: unknown = undefined
  #aborted = false
  #listeners: Set<AbortListener> | null = null

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
    this.#listeners = null
    if (listeners !== null) for (const listener of listeners) listener(reason)
  }

  /** Runs `listener` on abort, at once when already aborted. `off` removes it. */
  on(listener: AbortListener): void {
    if (this.#aborted) {
      listener(this.#reason)
      return
    }
    this.#listeners ??= new Set()
    this.#listeners.add(listener)
  }

  off(listener: AbortListener): void {
    this.#listeners?.delete(listener)
  }

  /** How many listeners wait: the soak test asserts that it returns to zero. */
  get listenerCount(): number {
    return this.#listeners?.size ?? 0
  }
}
