/** How much of a kind is under way at once, over all jobs of this process; those who wait are let in by turns. */
import type { Gate } from '../../base/gate.ts'

/** One gate per kind of work that holds memory, connections or nodes. */
export interface StageGates {
  readonly extract: Gate
  /** Batches with the embedder. */
  readonly embed: Gate
  readonly index: Gate
  /** Writers of one collection: in the store they would wait for its row with a connection in hand. */
  readonly collections: Turns
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
