/** How much of a kind is under way at once, over all jobs of this process; those who wait are let in by turns. */

/** One gate per kind of work that holds memory, connections or nodes. */
export interface StageGates {
  readonly extract: Gate
  /** Batches with the embedder. */
  readonly embed: Gate
  readonly index: Gate
  /** Writers of one collection: in the store they would wait for its row with a connection in hand. */
  readonly collections: Turns
}

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

  /** Resolves when there is room, with a function that gives the place back. Rejects when `signal` aborts first. Waiters are at most as many as jobs have lanes. */
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

/** One at a time of each name, in the order in which they came. */
export class Turns {
  /** The last of each name; it never rejects. As many as there are callers at work. */
  readonly #last = new Map<string, Promise<void>>()

  async take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last.set(name, promise)
    await before
    try {
      return await work()
    } finally {
      resolve()
      if (this.#last.get(name) === promise) this.#last.delete(name)
    }
  }
}
