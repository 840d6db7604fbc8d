/** So much at once, in the order in which it came. */

interface Waiter {
  readonly enter: (leave: () => void) => void
}

export class Gate {
  readonly #widthMax: () => number
  readonly #waiting = new Set<Waiter>()
  #inside = 0

  constructor(widthMax: () => number) {
    this.#widthMax = widthMax
  }

  /** Those who wait now: whoever lets anybody in bounds them. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Resolves when there is room, with a function that gives the place back. Rejects when `signal` aborts first. */
  enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#inside < this.#widthMax()) return Promise.resolve(this.#admit())
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(waiter)
        reject(signal.reason)
      }
      const waiter: Waiter = {
        enter: (leave) => {
          signal.removeEventListener('abort', onAbort)
          resolve(leave)
        },
      }
      this.#waiting.add(waiter)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Runs `work` inside. */
  async pass<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const leave = await this.enter(signal)
    try {
      return await work()
    } finally {
      leave()
    }
  }

  #admit(): () => void {
    this.#inside += 1
    let isInside = true
    return () => {
      if (!isInside) return
      isInside = false
      this.#inside -= 1
      this.#next()
    }
  }

  #next(): void {
    const [waiter] = this.#waiting
    if (waiter === undefined || this.#inside >= this.#widthMax()) return
    this.#waiting.delete(waiter)
    waiter.enter(this.#admit())
  }
}
