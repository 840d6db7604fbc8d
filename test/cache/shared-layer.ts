/** A layer behind memory, as Redis would be one: its own clock, its own failures, shared by several caches. */
import type { Clock } from '../../src/base/clock.ts'
import type { EpochStore } from '../../src/cache/epochs.ts'
import type { FlightLease, FoundEntry, SecondLayer, StoredFacts } from '../../src/cache/second-layer.ts'
import { selects } from '../../src/cache/tags.ts'

interface Kept {
  bytes: Buffer
  readonly facts: StoredFacts
  readonly atMs: number
}

export interface SharedLayer extends SecondLayer {
  readonly kept: Map<string, Kept>
  /** How it answers: as it should, not at all (`skip`), or by rejecting. */
  mode: 'up' | 'skip' | 'reject'
  gets: number
}

/** `clock`: that of the layer's own host. */
export function sharedLayer(clock: Clock, name = 'redis'): SharedLayer {
  const kept = new Map<string, Kept>()
  const layer: SharedLayer = {
    name,
    kept,
    mode: 'up',
    gets: 0,
    get(key) {
      layer.gets += 1
      if (layer.mode === 'skip') return null
      if (layer.mode === 'reject') return Promise.reject(new Error('down'))
      return Promise.resolve(found(kept.get(key)))
    },
    put(key, bytes, facts) {
      if (layer.mode === 'skip') return null
      if (layer.mode === 'reject') return Promise.reject(new Error('down'))
      if (facts.replaces || !kept.has(key)) kept.set(key, { bytes, facts, atMs: clock.nowMs() })
      return Promise.resolve(true)
    },
    delete(key) {
      kept.delete(key)
      return Promise.resolve()
    },
    purge(selector) {
      if (layer.mode === 'skip') return null
      const meant = [...kept].filter(([key, { facts }]) => selects(selector, key, facts.tags))
      for (const [key] of meant) kept.delete(key)
      return Promise.resolve(meant.length)
    },
  }
  function found(entry: Kept | undefined): FoundEntry | null {
    if (entry === undefined) return null
    const { bytes, facts, atMs } = entry
    const sinceMs = clock.nowMs() - atMs
    return { bytes, ageMs: facts.ageMs + sinceMs, freshForMs: facts.freshForMs - sinceMs }
  }
  return layer
}

export interface SharedEpochs extends EpochStore {
  /** Whether it can be reached. */
  up: boolean
}

export function sharedEpochs(lookEveryMs = 1_000): SharedEpochs {
  const counters: Record<string, number> = {}
  const store: SharedEpochs = {
    up: true,
    lookEveryMs,
    load: () => (store.up ? Promise.resolve({ ...counters }) : Promise.reject(new Error('down'))),
    raise(names) {
      if (!store.up) return Promise.reject(new Error('down'))
      for (const name of names) counters[name] = (counters[name] ?? 0) + 1
      return Promise.resolve({ ...counters })
    },
  }
  return store
}

export interface SharedLease extends FlightLease {
  /** Keys that somebody asks upstream for. */
  readonly held: Map<string, Promise<void>>
  mode: 'up' | 'skip' | 'reject'
}

export function sharedLease(): SharedLease {
  const held = new Map<string, Promise<void>>()
  const lease: SharedLease = {
    held,
    mode: 'up',
    acquire(key) {
      if (lease.mode === 'skip') return null
      if (lease.mode === 'reject') return Promise.reject(new Error('down'))
      const over = held.get(key)
      if (over !== undefined) {
        const left = Promise.withResolvers<void>()
        return Promise.resolve({ isOurs: false, over: Promise.race([over, left.promise]), leave: left.resolve })
      }
      const released = Promise.withResolvers<void>()
      held.set(key, released.promise)
      return Promise.resolve({
        isOurs: true,
        release() {
          held.delete(key)
          released.resolve()
        },
      })
    },
  }
  return lease
}
