/**
 * The layers of all kinds as one: memory at once, slower layers behind it, writes behind the answer. It knows bytes, tags and
 * times and nothing of what is inside; a kind brings its own check of what comes back from outside this process.
 *
 * Entries are never changed in place. `find` promotes into memory with the age that the slower layer told, so an age never
 * jumps back.
 */
import type { Clock } from '../base/clock.ts'
import { endsEarly } from './early-end.ts'
import { MemoryLayer, type MemoryItem, type MemoryLayerOptions } from './memory-layer.ts'
import type { FoundEntry, KeyedBytes, SecondLayer, StoredFacts } from './second-layer.ts'
import { type ResolvedSelector, selects, type Tags } from './tags.ts'
import { WriteQueue, type WriteQueueStats } from './write-queue.ts'

export interface EntryStoreDeps {
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly memory: Pick<MemoryLayerOptions, 'budgetBytes' | 'shares'>
  /** How long stale entries are kept. */
  readonly staleMs: number
  /** From the nearest to the slowest. */
  readonly layers: readonly SecondLayer[]
}

/** An entry and which layer had it. */
export interface Found {
  readonly item: MemoryItem
  readonly layer: string
}

export interface PutFacts {
  readonly tags: Tags
  /** Mean time until it is stale; the real one differs by up to a tenth, so that entries made together do not end together. */
  readonly ttlMs: number
  readonly originMs: number
  /** Of work that goes through a lot of data once: it passes memory by where a slower layer keeps it. */
  readonly bulk?: boolean
  /** See `StoredFacts`. */
  readonly replaces?: boolean
  /** Called once when no slower layer will get it any more that has not got it yet. */
  readonly onSettled?: () => void
}

/** What is looked for, beside its key. */
export interface WantedFacts {
  readonly tags: Tags
  readonly isIntact: (bytes: Buffer) => boolean
  /** See `PutFacts`. */
  readonly bulk: boolean
}

interface Wanted extends WantedFacts {
  /** How many purges there had been when the look-up began. */
  readonly purges: number
}

export interface LayerStats {
  readonly name: string
  readonly hits: number
  readonly misses: number
  readonly skips: number
  readonly corrupt: number
  /** Null: the layer cannot tell. */
  readonly evictions: number | null
  readonly writes: WriteQueueStats
}

export type LookupListener = (layer: string, tookMs: number) => void

/** How an entry is read. */
export interface ReadFacts {
  readonly isIntact: (bytes: Buffer) => boolean
  /** Whether the reader can make it anew. */
  readonly mayRenew: boolean
}

export interface ReadEntry {
  readonly bytes: Buffer
  /** It ends soon, and this reader is the one to make it anew (`early-end.ts`); what it read stands in when that fails. */
  readonly isDrawn: boolean
}

const ttlJitter = 0.1
/** Keys remembered as being made anew. */
const renewalsMax = 10_000
/** One whose making failed is not tried again before. */
const renewalMsMin = 1_000

interface Slower {
  readonly layer: SecondLayer
  readonly writes: WriteQueue
  hits: number
  misses: number
  skips: number
  corrupt: number
}

export class EntryStore {
  readonly #deps: EntryStoreDeps
  readonly #memory: MemoryLayer
  #slower: readonly Slower[] = []
  /** Until when a key counts as being made anew. */
  readonly #renewedUntilMs = new Map<string, number>()
  #stored = 0
  /** Purges so far: what was looked for or queued before one may be what it meant. */
  #purges = 0
  #onLookup: LookupListener | null = null

  constructor(deps: EntryStoreDeps) {
    this.#deps = deps
    this.#memory = new MemoryLayer({ ...deps.memory, staleMs: deps.staleMs, clock: deps.clock })
  }

  /** The slower layers may be asked from now on: what was purged before this process began is known. */
  open(): void {
    for (const layer of this.#deps.layers) layer.start?.()
    this.#slower = this.#deps.layers.map((layer) => ({ layer, writes: new WriteQueue(), hits: 0, misses: 0, skips: 0, corrupt: 0 }))
  }

  /** What memory holds, fresh or stale; null: nothing. */
  peek(key: string): MemoryItem | null {
    return this.#memory.get(key)
  }

  /** A fresh entry of whatever layer; null: there is none. Never rejects. */
  async read(key: string, tags: Tags, { isIntact, mayRenew }: ReadFacts): Promise<ReadEntry | null> {
    const item = this.#fresh(this.peek(key)) ?? this.#fresh((await this.find(key, tags, isIntact))?.item ?? null)
    return item === null ? null : { bytes: item.bytes, isDrawn: mayRenew && this.#drawsRenewal(key, item) }
  }

  /** One at a time for a key, until a new one is put or twice the time that making it took is over. */
  #drawsRenewal(key: string, { bornAtMs, expiresAtMs, originMs = 0 }: MemoryItem): boolean {
    const nowMs = this.#deps.clock.nowMs()
    const age = { ageMs: nowMs - bornAtMs, freshForMs: expiresAtMs - nowMs }
    if (!endsEarly(age, () => originMs, this.#deps.random) || nowMs < (this.#renewedUntilMs.get(key) ?? 0)) return false
    if (this.#renewedUntilMs.size >= renewalsMax) this.#renewedUntilMs.clear()
    this.#renewedUntilMs.set(key, nowMs + Math.max(renewalMsMin, 2 * originMs))
    return true
  }

  #fresh(item: MemoryItem | null): MemoryItem | null {
    return item !== null && item.expiresAtMs > this.#deps.clock.nowMs() ? item : null
  }

  /** Looks in the slower layers, nearest first. Null without a promise when none can be asked now. Never rejects. */
  find(key: string, tags: Tags, isIntact: (bytes: Buffer) => boolean): Promise<Found | null> | null {
    return this.#findFrom(0, key, { tags, isIntact, bulk: false, purges: this.#purges })
  }

  #findFrom(index: number, key: string, wanted: Wanted): Promise<Found | null> | null {
    const slower = this.#slower[index]
    if (slower === undefined) return null
    const askedAtMs = this.#deps.clock.nowMs()
    const asked = slower.layer.get(key, wanted.tags)
    if (asked === null) {
      slower.skips += 1
      return this.#findFrom(index + 1, key, wanted)
    }
    return asked.then(
      (found) => {
        this.#noteLookup(slower, askedAtMs)
        return this.#promote(slower, found, { ...wanted, key }) ?? this.#findFrom(index + 1, key, wanted)
      },
      () => {
        this.#noteLookup(slower, askedAtMs)
        return this.#findFrom(index + 1, key, wanted)
      },
    )
  }

  /** From now on `listener` hears how long each lookup in a slower layer took, those that failed too. */
  watchLookups(listener: LookupListener): void {
    this.#onLookup = listener
  }

  #noteLookup({ layer }: Slower, askedAtMs: number): void {
    this.#onLookup?.(layer.name, this.#deps.clock.nowMs() - askedAtMs)
  }

  #promote(slower: Slower, found: FoundEntry | null, wanted: Wanted & { readonly key: string }): Found | null {
    const { key, tags } = wanted
    if (found === null || wanted.purges !== this.#purges) {
      slower.misses += 1
      return null
    }
    if (!wanted.isIntact(found.bytes)) {
      slower.corrupt += 1
      slower.layer.delete(key, tags)?.catch(() => undefined)
      return null
    }
    slower.hits += 1
    const nowMs = this.#deps.clock.nowMs()
    const item = { bytes: found.bytes, bornAtMs: nowMs - found.ageMs, expiresAtMs: nowMs + found.freshForMs, tags }
    if (!wanted.bulk) this.#memory.set(key, item)
    return { item, layer: slower.layer.name }
  }

  /** Looks for several, each layer for what the nearer ones had not. Null without a promise when none can be asked now. Never rejects. */
  findMany(keys: readonly string[], wanted: WantedFacts): Promise<ReadonlyMap<string, Found>> | null {
    const many = this.#slower.filter(({ layer }) => layer.getMany !== undefined)
    return many.length === 0 || keys.length === 0 ? null : this.#findManyIn(many, keys, { ...wanted, purges: this.#purges })
  }

  async #findManyIn(layers: readonly Slower[], keys: readonly string[], wanted: Wanted): Promise<ReadonlyMap<string, Found>> {
    const all = new Map<string, Found>()
    let left = keys
    for (const slower of layers) {
      if (left.length === 0) break
      const askedAtMs = this.#deps.clock.nowMs()
      const asked = slower.layer.getMany?.(left, wanted.tags) ?? null
      if (asked === null) {
        slower.skips += 1
        continue
      }
      const entries = await asked.catch(() => null)
      this.#noteLookup(slower, askedAtMs)
      if (entries === null) continue
      for (const key of left) {
        const found = this.#promote(slower, entries.get(key) ?? null, { ...wanted, key })
        if (found !== null) all.set(key, found)
      }
      left = left.filter((key) => !all.has(key))
    }
    return all
  }

  /** Keeps several entries that were made now, as one write per layer. */
  putMany(entries: readonly KeyedBytes[], { tags, ttlMs, originMs, bulk = false, replaces = false, onSettled }: PutFacts): void {
    const [first] = entries
    if (first === undefined) {
      onSettled?.()
      return
    }
    const nowMs = this.#deps.clock.nowMs()
    const freshForMs = ttlMs * (1 - ttlJitter + 2 * ttlJitter * this.#deps.random())
    const item = { bytes: first.bytes, bornAtMs: nowMs, expiresAtMs: nowMs + freshForMs, tags }
    this.#stored += entries.length
    const keepers = this.#slower.filter(({ layer }) => layer.putMany !== undefined)
    if (!bulk || keepers.length === 0) for (const { key, bytes } of entries) this.#memory.set(key, { ...item, bytes })
    const size = entries.reduce((sum, { bytes }) => sum + bytes.length, 0)
    const write = (layer: SecondLayer) => layer.putMany?.(entries, { ...this.#timesOf(item), originMs, tags, replaces }) ?? null
    this.#writeBehind(keepers, write, { size, onSettled })
  }

  /** Keeps an entry that was made now: in memory at once, elsewhere soon. */
  put(key: string, bytes: Buffer, { tags, ttlMs, originMs, replaces = false, onSettled }: PutFacts): MemoryItem {
    const nowMs = this.#deps.clock.nowMs()
    const freshForMs = ttlMs * (1 - ttlJitter + 2 * ttlJitter * this.#deps.random())
    const item = { bytes, bornAtMs: nowMs, expiresAtMs: nowMs + freshForMs, tags, originMs }
    this.#stored += 1
    this.#renewedUntilMs.delete(key)
    this.#memory.set(key, item)
    const write = (layer: SecondLayer) => layer.put(key, bytes, { ...this.#timesOf(item), originMs, tags, replaces })
    this.#writeBehind(this.#slower, write, { size: bytes.length, onSettled })
    return item
  }

  /** One write per layer, which a purge meanwhile drops: one meant by it must not come after it, and those of others are few. */
  #writeBehind(
    keepers: readonly Slower[],
    write: (layer: SecondLayer) => Promise<boolean> | null,
    { size, onSettled }: { readonly size: number; readonly onSettled: (() => void) | undefined },
  ): void {
    const purges = this.#purges
    let left = keepers.length
    if (left === 0) onSettled?.()
    const onEnd = (): void => {
      left -= 1
      if (left === 0) onSettled?.()
    }
    for (const { layer, writes } of keepers) {
      writes.add({ bytes: size, run: () => (purges === this.#purges ? write(layer) : null), onEnd })
    }
  }

  /** Deletes an entry from all layers, without waiting for it. */
  delete(key: string, tags: Tags): void {
    this.#memory.delete(key)
    for (const { layer } of this.#slower) layer.delete(key, tags)?.catch(() => undefined)
  }

  /** Keeps in memory what was derived from another entry, with that one's times. */
  putDerived(key: string, bytes: Buffer, { bornAtMs, expiresAtMs, tags }: MemoryItem): MemoryItem {
    const item = { bytes, bornAtMs, expiresAtMs, tags }
    this.#memory.set(key, item)
    return item
  }

  /** Those of an entry when it is its turn to be written. */
  #timesOf({ bornAtMs, expiresAtMs }: MemoryItem): Pick<StoredFacts, 'ageMs' | 'freshForMs' | 'staleMs'> {
    const nowMs = this.#deps.clock.nowMs()
    return { ageMs: nowMs - bornAtMs, freshForMs: expiresAtMs - nowMs, staleMs: this.#deps.staleMs }
  }

  /** How many entries of memory a selector means; deletes them unless `countOnly`. */
  purgeMemory(selector: ResolvedSelector, { countOnly }: { readonly countOnly: boolean }): number {
    if (!countOnly) this.#purges += 1
    return this.#memory.deleteWhere((key, tags) => selects(selector, key, tags), { countOnly })
  }

  /** Deletes from the slower layers; null entries of those that cannot say how many. Never rejects. */
  async purgeSlower(selector: ResolvedSelector): Promise<Readonly<Record<string, number | null>>> {
    const counts: Record<string, number | null> = {}
    for (const { layer } of this.#slower) {
      try {
        counts[layer.name] = await (layer.purge(selector) ?? null)
      } catch {
        counts[layer.name] = null
      }
    }
    return counts
  }

  get stats(): { readonly memory: MemoryLayer['stats']; readonly stored: number; readonly layers: readonly LayerStats[] } {
    const layers = this.#slower.map(({ layer, writes, hits, misses, skips, corrupt }) => {
      return { name: layer.name, hits, misses, skips, corrupt, evictions: layer.evictions ?? null, writes: writes.stats }
    })
    return { memory: this.#memory.stats, stored: this.#stored, layers }
  }

  /** Resolves when all queued writes are through. */
  async idle(): Promise<void> {
    await Promise.all(this.#slower.map(({ writes }) => writes.idle()))
  }

  async close(): Promise<void> {
    await Promise.all(this.#slower.map(({ writes }) => writes.close()))
    for (const { layer } of this.#slower) layer.close?.()
  }
}
