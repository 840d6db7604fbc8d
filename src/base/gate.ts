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
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason)
        return
      }
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
      this.#fill()
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

  /** Takes a place. */
  #admit(): () => void {
    this.#inside += 1
    let isInside = true
    return () => {
      if (!isInside) return
      isInside = false
      this.#inside -= 1
      this.#fill()
    }
  }

  /** Lets in whoever there is room for: more than one when the width has grown. */
  #fill(): void {
    for (const waiter of this.#waiting) {
      if (this.#inside >= this.#widthMax()) return
      this.#waiting.delete(waiter)
      waiter.enter(this.#admit())
    }
  }
}
