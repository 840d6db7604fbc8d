/**
 * The entries of one kind in memory: a segmented LRU of two `lru-cache`s, probation and protected. A second hit moves an entry into
 * the protected part, and what falls out of there gets a last chance in probation: one-time requests and scans cannot push out what
 * is asked for again and again (caching.md §7: at most 0.7 points below LRU, up to 7 above).
 *
 * It grows until its owner tells it to give up entries; then the protected part is brought down to half of the bytes first.
 */
import { LRUCache } from 'lru-cache'

import type { Tags } from './tags.ts'

/** What the book-keeping of one entry takes, estimated. */
const overheadBytes = 200
const protectedShare = 0.5

/** An entry with its times by the monotonic clock of this process. */
export interface MemoryItem {
  readonly bytes: Buffer
  /** When its content was made. */
  readonly bornAtMs: number
  /** From when on it is stale. */
  readonly expiresAtMs: number
  readonly tags: Tags
  /** What the making took; left out where another layer or replica made it. */
  readonly originMs?: number
}

export class MemorySegment {
  readonly #probation: LRUCache<string, MemoryItem>
  readonly #protected: LRUCache<string, MemoryItem>

  /** `budgetBytes`: what its owner may hold in all. */
  constructor(budgetBytes: number) {
    // Its owner bounds it.
    this.#probation = new LRUCache({ maxSize: Number.MAX_SAFE_INTEGER })
    this.#protected = new LRUCache({
      maxSize: Math.max(1, Math.floor(budgetBytes * protectedShare)),
      disposeAfter: (item, key, reason) => {
        if (reason === 'evict') this.#probation.set(key, item, { size: sizeOf(key, item) })
      },
    })
  }

  get entries(): number {
    return this.#probation.size + this.#protected.size
  }

  get bytes(): number {
    return this.#probation.calculatedSize + this.#protected.calculatedSize
  }

  /** The entry, whatever its age; counts as a use. */
  get(key: string): MemoryItem | undefined {
    return this.#protected.get(key) ?? this.#promote(key)
  }

  #promote(key: string): MemoryItem | undefined {
    const item = this.#probation.get(key)
    if (item === undefined) return undefined
    this.#probation.delete(key)
    this.#protected.set(key, item, { size: sizeOf(key, item) })
    return item
  }

  set(key: string, item: MemoryItem): void {
    const target = this.#protected.has(key) ? this.#protected : this.#probation
    target.set(key, item, { size: sizeOf(key, item) })
  }

  delete(key: string): boolean {
    const inProbation = this.#probation.delete(key)
    return this.#protected.delete(key) || inProbation
  }

  /** Gives up the entry that is missed least. False: there is none. */
  evict(): boolean {
    while (this.#probation.size === 0 || this.#protected.calculatedSize > this.bytes * protectedShare) {
      // Falls into probation.
      if (this.#protected.pop() === undefined) break
    }
    return this.#probation.pop() !== undefined
  }

  /** Deletes, or only counts, the entries that `matches` accepts. Walks all of them. */
  deleteWhere(matches: (key: string, tags: Tags) => boolean, { countOnly }: { readonly countOnly: boolean }): number {
    let count = 0
    for (const cache of [this.#probation, this.#protected]) {
      const meant: string[] = []
      for (const [key, item] of cache.entries()) if (matches(key, item.tags)) meant.push(key)
      count += meant.length
      if (!countOnly) for (const key of meant) cache.delete(key)
    }
    return count
  }
}

/** Bytes that an entry counts for. */
export function sizeOf(key: string, item: MemoryItem): number {
  return key.length + item.bytes.length + overheadBytes
}
