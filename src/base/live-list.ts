/**
 * What is under way at this moment: items come and go by the thousand per second, and somebody looks at all of them now and
 * then. An array in which each item knows its place, so that taking one out is a swap with the last.
 *
 * Why no `Set` or `Map`: V8's hash tables are replaced as they fill up with removed entries, and each old table points to its
 * successor for the sake of live iterators. One old table that was promoted to the old generation then keeps every later
 * one alive, with all the items they last held, until the next full collection: 12 of 13 MB survived each scavenge, and a
 * scavenge took 10 ms where it now takes half of one.
 */
export interface Listed {
  /** The item's index; written by the list only. */
  place: number
}

export class LiveList<T extends Listed> {
  readonly #items: T[] = []
  readonly #onFirst: (() => void) | null

  /** `onFirst`: told when the first item comes into an empty list. */
  constructor(onFirst: (() => void) | null = null) {
    this.#onFirst = onFirst
  }

  get size(): number {
    return this.#items.length
  }

  add(item: T): void {
    item.place = this.#items.length
    this.#items.push(item)
    if (item.place === 0) this.#onFirst?.()
  }

  /** Takes the item out; no effect when it is not there. */
  remove(item: T): void {
    const { place } = item
    if (this.#items[place] !== item) return
    const last = this.#items.pop()
    if (last === undefined || last === item) return
    this.#items[place] = last
    last.place = place
  }

  /** Calls `visit` with each item; `visit` may take out any of them. */
  forEach(visit: (item: T) => void): void {
    for (let index = this.#items.length - 1; index >= 0; index -= 1) {
      const item = this.#items[index]
      if (item !== undefined) visit(item)
    }
  }

  /** The first item that `test` accepts; undefined when there is none. */
  find(test: (item: T) => boolean): T | undefined {
    return this.#items.find(test)
  }

  toArray(): readonly T[] {
    return this.#items.slice()
  }
}
