/**
 * The layer in this process: a segmented LRU of two `lru-cache`s, probation and protected, half of the bytes each. A second
 * hit moves an entry into the protected half, and what falls out of there gets a last chance in probation: one-time requests
 * and scans cannot push out what is asked for again and again (caching.md §7: at most 0.7 points below LRU, up to 7 above).
 *
 * Bounded in bytes; an entry over a hundredth of the budget is refused. It holds buffers, which lie outside V8's heap.
 */
import { LRUCache } from 'lru-cache'

import type { Clock } from '../base/clock.ts'
import type { Tags } from './tags.ts'

/** What the book-keeping of one entry takes, estimated. */
const overheadBytes = 200
const entryShareMax = 0.01
const protectedShare = 0.5

/** An entry with its times by the monotonic clock of this process. */
export interface MemoryItem {
  readonly bytes: Buffer
  /** When its content was made. */
  readonly bornAtMs: number
  /** From when on it is stale. */
  readonly expiresAtMs: number
  readonly tags: Tags
}

export interface MemoryLayerOptions {
  readonly budgetBytes: number
  /** How long a stale entry is kept, for clients that take one. */
  readonly staleMs: number
  readonly clock: Clock
}

export class MemoryLayer {
  readonly #options: MemoryLayerOptions
  readonly #probation: LRUCache<string, MemoryItem>
  readonly #protected: LRUCache<string, MemoryItem>
  #evictions = 0
  #refusals = 0

  constructor(options: MemoryLayerOptions) {
    this.#options = options
    const protectedBytes = Math.floor(options.budgetBytes * protectedShare)
    this.#probation = new LRUCache({
      maxSize: Math.max(1, options.budgetBytes - protectedBytes),
      disposeAfter: (_, __, reason) => {
        if (reason === 'evict') this.#evictions += 1
      },
    })
    this.#protected = new LRUCache({
      maxSize: Math.max(1, protectedBytes),
      disposeAfter: (item, key, reason) => {
        if (reason === 'evict') this.#probation.set(key, item, { size: sizeOf(key, item) })
      },
    })
  }

  /** The entry, fresh or stale within `staleMs`; null when there is none. Counts as a use. */
  get(key: string): MemoryItem | null {
    const item = this.#protected.get(key) ?? this.#promote(key)
    if (item === null) return null
    if (this.#options.clock.nowMs() < item.expiresAtMs + this.#options.staleMs) return item
    this.delete(key)
    return null
  }

  #promote(key: string): MemoryItem | null {
    const item = this.#probation.get(key)
    if (item === undefined) return null
    this.#probation.delete(key)
    this.#protected.set(key, item, { size: sizeOf(key, item) })
    return item
  }

  /** Keeps the entry. False: it is too large for this layer. */
  set(key: string, item: MemoryItem): boolean {
    const size = sizeOf(key, item)
    if (size > this.#options.budgetBytes * entryShareMax) {
      this.#refusals += 1
      return false
    }
    const target = this.#protected.has(key) ? this.#protected : this.#probation
    target.set(key, item, { size })
    return true
  }

  delete(key: string): boolean {
    const inProbation = this.#probation.delete(key)
    return this.#protected.delete(key) || inProbation
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

  get stats(): { readonly entries: number; readonly bytes: number; readonly evictions: number; readonly refusals: number } {
    return {
      entries: this.#probation.size + this.#protected.size,
      bytes: this.#probation.calculatedSize + this.#protected.calculatedSize,
      evictions: this.#evictions,
      refusals: this.#refusals,
    }
  }
}

function sizeOf(key: string, item: MemoryItem): number {
  return key.length + item.bytes.length + overheadBytes
}
