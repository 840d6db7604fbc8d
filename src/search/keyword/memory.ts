/**
 * What the process remembers of keyword indexes: decoded postings, chunk maps, tombstones, and that a segment has no postings of a
 * term. Segments never change and their ids are never used again, so nothing has to be invalidated; tombstones are remembered with
 * their stamp. Bounded in bytes, the longest unused goes first.
 */
import type { ChunkMap, Postings } from './codec.ts'

export const keywordMemoryMaxBytes = 96 * 1_048_576
/** Collections whose segments are remembered. */
const collectionsMax = 2_000
/** The map entry, key and object headers of one item. */
const itemBytes = 220

export interface RememberedList {
  readonly kind: 'list'
  /** Null: the segment does not have the term. */
  readonly postings: Postings | null
  /** Postings of removed chunks in it, counted under this stamp of the segment's tombstones. */
  counted: { readonly stamp: string; readonly dead: number } | null
}

export interface RememberedPart {
  readonly kind: 'part'
  readonly map: ChunkMap
  /** All postings of a packed segment, by term, undecoded; null: they stand in rows. */
  readonly packed: ReadonlyMap<string, Buffer> | null
}

export interface RememberedDead {
  readonly kind: 'dead'
  readonly stamp: string
  readonly numbers: Int32Array
}

type Remembered = RememberedList | RememberedPart | RememberedDead

/** What was seen of a collection at its last query. */
export interface SeenCollection {
  readonly segments: readonly string[]
  readonly languages: readonly string[]
}

/** Whose segment: keys of two tenants never meet. */
export interface Owner {
  readonly tenant: string
  readonly collection: string
}

export class KeywordMemory {
  readonly #items = new Map<string, { readonly value: Remembered; readonly sizeBytes: number }>()
  readonly #seen = new Map<string, SeenCollection>()
  readonly #maxBytes: number
  #sizeBytes = 0

  constructor(maxBytes = keywordMemoryMaxBytes) {
    this.#maxBytes = maxBytes
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  list(owner: Owner, segment: string, term: string): RememberedList | null {
    const value = this.#get(key(owner, segment, `t${term}`))
    return value?.kind === 'list' ? value : null
  }

  part(owner: Owner, segment: string): RememberedPart | null {
    const value = this.#get(key(owner, segment, 'm'))
    return value?.kind === 'part' ? value : null
  }

  dead(owner: Owner, segment: string): RememberedDead | null {
    const value = this.#get(key(owner, segment, 'd'))
    return value?.kind === 'dead' ? value : null
  }

  keepList(owner: Owner, { segment, term, postings }: { segment: string; term: string; postings: Postings | null }): RememberedList {
    const value: RememberedList = { kind: 'list', postings, counted: null }
    this.#set(key(owner, segment, `t${term}`), value, (postings?.ordinals.length ?? 0) * 6)
    return value
  }

  keepPart(
    owner: Owner,
    { segment, map, packed }: { segment: string; map: ChunkMap; packed: ReadonlyMap<string, Buffer> | null },
  ): RememberedPart {
    const value: RememberedPart = { kind: 'part', map, packed }
    let packedBytes = 0
    for (const [term, bytes] of packed ?? []) packedBytes += bytes.length + term.length + itemBytes
    this.#set(key(owner, segment, 'm'), value, map.numbers.length * 8 + packedBytes)
    return value
  }

  keepDead(owner: Owner, { segment, stamp, numbers }: { segment: string; stamp: string; numbers: Int32Array }): RememberedDead {
    const value: RememberedDead = { kind: 'dead', stamp, numbers }
    this.#set(key(owner, segment, 'd'), value, numbers.length * 4)
    return value
  }

  seen(owner: Owner): SeenCollection | null {
    return this.#seen.get(ownerKey(owner)) ?? null
  }

  see(owner: Owner, seen: SeenCollection): void {
    const name = ownerKey(owner)
    this.#seen.delete(name)
    this.#seen.set(name, seen)
    if (this.#seen.size <= collectionsMax) return
    const [oldest] = this.#seen.keys()
    if (oldest !== undefined) this.#seen.delete(oldest)
  }

  #get(name: string): Remembered | undefined {
    const item = this.#items.get(name)
    if (item === undefined) return undefined
    this.#items.delete(name)
    this.#items.set(name, item)
    return item.value
  }

  #set(name: string, value: Remembered, payloadBytes: number): void {
    this.#drop(name)
    const sizeBytes = payloadBytes + itemBytes + name.length
    if (sizeBytes > this.#maxBytes) return
    this.#items.set(name, { value, sizeBytes })
    this.#sizeBytes += sizeBytes
    for (const oldest of this.#items.keys()) {
      if (this.#sizeBytes <= this.#maxBytes) break
      this.#drop(oldest)
    }
  }

  #drop(name: string): void {
    const item = this.#items.get(name)
    if (item === undefined) return
    this.#items.delete(name)
    this.#sizeBytes -= item.sizeBytes
  }
}

function ownerKey({ tenant, collection }: Owner): string {
  return `${tenant}\0${collection}`
}

function key(owner: Owner, segment: string, what: string): string {
  return `${ownerKey(owner)}\0${segment}\0${what}`
}
