/**
 * What one of several workers on one machine may use of what the configuration gives to all: an equal share of each bound, at least one.
 * Callers' limits are not here: those are shared by Redis, or divided where they are counted. Nor are the slots of nodes, for nodes come
 * from operators too: the fleet divides them.
 */
import type { Config } from './schema.ts'

/** The share of worker `index` (from 0) of `count`; what does not divide goes to the first ones. */
export function share(total: number, { index, count }: WorkerPlace): number {
  return Math.max(1, Math.floor(total / count) + (index < total % count ? 1 : 0))
}

export interface WorkerPlace {
  readonly index: number
  readonly count: number
}

/** The configuration of one worker. `systemMemoryBytes`: what all of them may use where `http.memoryBytesMax` does not say; null: no limit. */
export function shareOf(config: Config, place: WorkerPlace, systemMemoryBytes: number | null): Config {
  if (place.count === 1) return config
  const { fleet, http, cache, store, limits } = config
  const memoryBytes = http.memoryBytesMax > 0 ? http.memoryBytesMax : (systemMemoryBytes ?? 0)
  return {
    ...config,
    fleet: {
      ...fleet,
      admission: {
        ...fleet.admission,
        slotsAssumed: share(fleet.admission.slotsAssumed, place),
        queueMax: fleet.admission.queueMax === 0 ? 0 : share(fleet.admission.queueMax, place),
      },
    },
    http: {
      ...http,
      memoryBytesMax: memoryBytes === 0 ? 0 : share(memoryBytes, place),
      bodiesBytesMax: share(http.bodiesBytesMax, place),
      connectionsMax: share(http.connectionsMax, place),
    },
    limits: { ...limits, address: { ...limits.address, unauthenticatedPerMinute: share(limits.address.unauthenticatedPerMinute, place) } },
    cache: { ...cache, memoryBytes: share(cache.memoryBytes, place) },
    store: { ...store, pool: { ...store.pool, connectionsMax: share(store.pool.connectionsMax, place) } },
  }
}
