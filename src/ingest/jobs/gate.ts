/** How many batches may be with the embedder at once, over all jobs of this process; those who wait are let in by turns. */
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

  /** Resolves when there is room, with a function that gives the place back. Rejects when `signal` aborts first. Waiters are as many as jobs have lanes. */
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
