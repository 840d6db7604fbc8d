/**
 * Counters that stand in every key: raising one makes all entries under it unreachable at once, in every layer, whatever
 * else is lost. A selector of one condition raises that condition's counter, one of several a counter of their combination. Single
 * keys have no counter each, which would grow without end: those of one beginning share one, so a purge by key takes one in 4,096
 * other entries with it.
 *
 * Replicas and restarts share them through an `EpochStore`: counters only ever grow, so merging is taking the larger one.
 */
import { hash } from 'node:crypto'

import type { Tags } from './tags.ts'

/** Where counters outlive the process: all known ones by name, and raising some of them by one. Both may reject. */
export interface EpochStore {
  /** Whether it may be there later than this process: then the slower layers wait for it. */
  readonly mayComeLate?: boolean
  /** How often others' changes are looked for. */
  readonly lookEveryMs: number
  load(): Promise<Readonly<Record<string, number>>>
  raise(names: readonly string[]): Promise<Readonly<Record<string, number>>>
  /** Calls when counters may have moved; returns the way to stop. Calls may get lost. */
  watch?(onMoved: () => void): () => void
}

/** Purges of distinct tenants, models and combinations are rare; beyond this many, all share one counter. */
const countersMax = 10_000
const everything = 'all'

/** Leading digits of a key by which keys share a counter. */
const bucketDigits = 3

export interface EpochSelector {
  readonly tenant: string | null
  readonly kind: string | null
  readonly digest: string | null
  /** A key alone tells which entry: the other conditions then only narrow what is deleted. */
  readonly key: string | null
}

/** The name of the counter of a selector. */
export function epochName({ tenant, kind, digest, key }: EpochSelector): string {
  if (key !== null) return `key ${key.slice(0, bucketDigits)}`
  if (tenant === null && kind === null && digest === null) return everything
  return JSON.stringify([tenant, kind, digest])
}

export class Epochs {
  readonly #counters = new Map<string, number>()
  #version = 0

  /** Moves with every change: what was derived from counters may be kept while it stands. */
  get version(): number {
    return this.#version
  }

  /** The counters that hold for an entry (of each combination of its conditions), as one text for its key. */
  stampOf({ tenant, kind, digest }: Tags): string {
    if (this.#counters.size === 0) return ''
    let stamp = ''
    for (let given = 0; given < 8; given += 1) {
      const selector = { tenant: given & 4 ? tenant : null, kind: given & 2 ? kind : null, digest: given & 1 ? digest : null }
      stamp += this.#part(epochName({ ...selector, key: null }))
    }
    return stamp
  }

  /** The counter that holds for keys of this beginning, as a text; the same for `key` and what `keyFor` makes of it. */
  stampOfKey(key: string): string {
    return this.#counters.size === 0 ? '' : this.#part(epochName({ tenant: null, kind: null, digest: null, key }))
  }

  /**
   * The key under which an entry lies now. `key` itself while no counter holds for it, else another one of the same beginning, so that it
   * can be purged again. `stamp`: of counters that are not in `key`. To be taken when an entry is looked for: what is made after a
   * purge out of what was read before it then lies where nobody looks.
   */
  keyFor(key: string, stamp = ''): string {
    const counters = stamp + this.stampOfKey(key)
    if (counters === '') return key
    return key.slice(0, bucketDigits) + hash('sha256', `${key}\n${counters}`, 'hex').slice(bucketDigits)
  }

  #part(name: string): string {
    const value = this.#counters.get(name)
    return value === undefined ? '' : `${name}=${value};`
  }

  /** The counter that a purge of `selector` raises. */
  nameFor(selector: EpochSelector): string {
    const name = epochName(selector)
    return this.#counters.size < countersMax || this.#counters.has(name) ? name : everything
  }

  /**
   * Raises a counter here. `by` is 1, or a random fraction where the shared counters cannot be reached: a value that no other
   * replica will ever have, until the next whole one comes from there.
   */
  raise(name: string, by = 1): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + by)
    this.#version += 1
  }

  /** Takes over larger counters from elsewhere. */
  merge(counters: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(counters)) {
      if (value <= (this.#counters.get(name) ?? 0)) continue
      this.#counters.set(name, value)
      this.#version += 1
    }
  }

  snapshot(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counters)
  }
}
