/** What the cache has behind memory, of the stores that there are. */
import type { RedisStore } from '../store/redis-store.ts'
import type { Database } from '../store/database.ts'
import type { CacheDeps } from './layer.ts'
import { createRedisLease } from './lease.ts'
import type { CacheOptions } from './options.ts'
import { createEpochStore } from './postgres-epochs.ts'
import { createPostgresLayer, type PostgresLayerDeps } from './postgres-layer.ts'
import { createRedisEpochStore } from './redis-epochs.ts'
import { createRedisLayer } from './redis-layer.ts'

interface Stores {
  readonly database: Database | null
  readonly redis: RedisStore | null
}

export interface CacheStoresDeps extends Omit<PostgresLayerDeps, 'database'> {
  readonly options: CacheOptions
  readonly redisUrl: string | undefined
  /** Null: nothing is kept. */
  readonly stores: Stores | null
  readonly replica: string
}

/** The layers, the lease and the counters of purges that `options` ask for and the stores allow. */
export function cacheStores({
  options: { layers, flight },
  redisUrl = '',
  stores,
  replica,
  ...deps
}: CacheStoresDeps): Pick<CacheDeps, 'layers' | 'lease' | 'epochStore'> {
  const redis = layers.redis ? (stores?.redis ?? null) : null
  const database = layers.postgres ? (stores?.database ?? null) : null
  return {
    layers: [
      ...(redis === null ? [] : [createRedisLayer({ redis, clock: deps.clock, isCluster: redisUrl.includes('+cluster:') })]),
      ...(database === null ? [] : [createPostgresLayer({ database, ...deps })]),
    ],
    ...(redis === null || !flight.lease ? {} : { lease: createRedisLease({ redis, replica, ...deps }) }),
    ...epochStoreOf(stores),
  }
}

/** The database's when there is one, for it loses nothing. */
function epochStoreOf(stores: Stores | null): Pick<CacheDeps, 'epochStore'> {
  const { database = null, redis = null } = stores ?? {}
  if (database !== null) return { epochStore: createEpochStore(database) }
  return redis === null ? {} : { epochStore: createRedisEpochStore(redis) }
}
