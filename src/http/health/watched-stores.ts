/** What Corral stands on, under one watch: the database, Redis, and who issues tokens. What it sees becomes metrics. */
import type { IssuerState } from '../../identity/identity.ts'
import { DependencyWatch, type DependencyWatchDeps } from '../../observe/store-metrics.ts'
import type { RedisStore } from '../../store/redis-store.ts'
import type { OpenableDatabase } from '../../store/store.ts'
import { watched } from '../../store/watched.ts'

export interface WatchedStores {
  /** The same database; its transactions are told of. */
  readonly database: OpenableDatabase | null
  readonly watch: Pick<DependencyWatch, 'start' | 'stop'>
}

export interface WatchedStoresDeps extends Pick<DependencyWatchDeps, 'metrics' | 'clock'> {
  readonly database: OpenableDatabase | null
  readonly redis: RedisStore | null
  readonly issuers: () => readonly IssuerState[]
}

/** Every transaction but those of the opening goes through `database` of what is returned. */
export function watchStores({ database: own, redis, issuers, metrics, clock }: WatchedStoresDeps): WatchedStores {
  const database = own === null ? null : watched(own, { ended: (...transaction) => watch.ended(...transaction) }, clock)
  const ask = database === null ? null : () => database.tx('system', ({ last }) => last('select 1'), { name: 'ask', readOnly: true })
  const others = { ...(redis === null ? {} : { redis: () => redis.state === 'up' }), issuers: () => areUp(issuers()) }
  const watch = new DependencyWatch({ metrics, clock, database, ask, others })
  return { database, watch }
}

/** Whether the keys of all issuers could be fetched; null while that is not known, and where there are none. */
function areUp(issuers: readonly IssuerState[]): boolean | null {
  const known = issuers.filter(({ fetchedAgoMs, lastError }) => fetchedAgoMs !== null || lastError !== null)
  return known.length === 0 ? null : known.every(({ lastError }) => lastError === null)
}
