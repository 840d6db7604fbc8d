/**
 * The layer in this process. Each kind has a share of the memory that no other kind takes from it, and what one does not use the
 * others divide by their shares: when all is full, the kind with the most bytes for its share gives up an entry. So vectors of a
 * large corpus, read once, do not cost chats their answers (caching.md §11 B2).
 *
 * Bounded in bytes over all kinds; an entry over a hundredth of the budget is refused. It holds buffers, which lie outside V8's heap.
 */
import type { Clock } from '../base/clock.ts'
import type { CacheKind } from './key.ts'
import { type MemoryItem, MemorySegment, sizeOf } from './memory-segment.ts'
import type { Tags } from './tags.ts'

export type { MemoryItem } from './memory-segment.ts'

const entryShareMax = 0.01

export interface MemoryLayerOptions {
  readonly budgetBytes: number
  /** What part of the budget is a kind's own, in relation to the others; one that is not named has none. */
  readonly shares: Readonly<Partial<Record<CacheKind, number>>>
  /** How long a stale entry is kept, for clients that take one. */
  readonly staleMs: number
  readonly clock: Clock
}

export class MemoryLayer {
  readonly #options: MemoryLayerOptions
  /** By kind, in the order of their first entries. */
  readonly #segments = new Map<CacheKind, MemorySegment>()
  #hits = 0
  #misses = 0
  #evictions = 0
  #refusals = 0

  constructor(options: MemoryLayerOptions) {
    this.#options = options
  }

  /** The entry, fresh or stale within `staleMs`; null when there is none. Counts as a use. */
  get(key: string): MemoryItem | null {
    for (const segment of this.#segments.values()) {
      const item = segment.get(key)
      if (item === undefined) continue
      if (this.#options.clock.nowMs() < item.expiresAtMs + this.#options.staleMs) {
        this.#hits += 1
        return item
      }
      segment.delete(key)
    }
    this.#misses += 1
    return null
  }

  /** Keeps the entry. False: it is too large for this layer. */
  set(key: string, item: MemoryItem): boolean {
    if (sizeOf(key, item) > this.#options.budgetBytes * entryShareMax) {
      this.#refusals += 1
      return false
    }
    this.#segmentOf(item.tags.kind).set(key, item)
    while (this.#bytes > this.#options.budgetBytes && this.#largestForItsShare()?.evict() === true) this.#evictions += 1
    return true
  }

  #segmentOf(kind: CacheKind): MemorySegment {
    const known = this.#segments.get(kind)
    if (known !== undefined) return known
    const segment = new MemorySegment(this.#options.budgetBytes)
    this.#segments.set(kind, segment)
    return segment
  }

  /** As long as it has entries, one above its own part of the budget: when the budget is passed, at least one is. */
  #largestForItsShare(): MemorySegment | null {
    let largest: MemorySegment | null = null
    let most = 0
    for (const [kind, segment] of this.#segments) {
      const ratio = segment.bytes / (this.#options.shares[kind] ?? 0)
      if (segment.entries === 0 || ratio <= most) continue
      largest = segment
      most = ratio
    }
    return largest
  }

  delete(key: string): boolean {
    let deleted = false
    for (const segment of this.#segments.values()) deleted = segment.delete(key) || deleted
    return deleted
  }

  /** Deletes, or only counts, the entries that `matches` accepts. Walks all of them. */
  deleteWhere(matches: (key: string, tags: Tags) => boolean, how: { readonly countOnly: boolean }): number {
    let count = 0
    for (const segment of this.#segments.values()) count += segment.deleteWhere(matches, how)
    return count
  }

  get #bytes(): number {
    let sum = 0
    for (const segment of this.#segments.values()) sum += segment.bytes
    return sum
  }

  get stats(): {
    readonly entries: number
    readonly bytes: number
    readonly bytesByKind: Readonly<Partial<Record<CacheKind, number>>>
    /** Lookups that found an entry, fresh or stale. */
    readonly hits: number
    readonly misses: number
    readonly evictions: number
    readonly refusals: number
  } {
    const segments = [...this.#segments]
    return {
      entries: segments.reduce((sum, [, { entries }]) => sum + entries, 0),
      bytes: this.#bytes,
      bytesByKind: Object.fromEntries(segments.map(([kind, { bytes }]) => [kind, bytes])),
      hits: this.#hits,
      misses: this.#misses,
      evictions: this.#evictions,
      refusals: this.#refusals,
    }
  }
}
