/**
 * Counters that stand in every key: raising one makes all entries under it unreachable at once, in every layer, whatever
 * else is lost. A selector of one condition raises that condition's counter, one of several a counter of their combination.
 *
 * Replicas and restarts share them through an `EpochStore`: counters only ever grow, so merging is taking the larger one.
 */
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

export interface EpochSelector {
  readonly tenant: string | null
  readonly kind: string | null
  readonly digest: string | null
}

/** The name of the counter of a selector. */
export function epochName({ tenant, kind, digest }: EpochSelector): string {
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
      stamp += this.#part(epochName(selector))
    }
    return stamp
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
