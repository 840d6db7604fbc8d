/** What Corral stands on, under one watch: database, Redis, issuers of tokens; certificates and keys that end. What it sees becomes metrics. */
import { CertificateWatch } from '../../base/certificate-watch.ts'
import type { Identity, IssuerState } from '../../identity/identity.ts'
import { addCertificateMetrics, addKeyMetrics } from '../../observe/expiry-metrics.ts'
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
  readonly stores: { readonly database: OpenableDatabase | null; readonly redis: RedisStore | null }
  /** Null where nothing is kept. */
  readonly identity: () => Pick<Identity, 'issuers' | 'keyEnds'> | null
  /** 0 to below 1. */
  readonly random: () => number
}

/** Every transaction but those of the opening goes through `database` of what is returned. */
export function watchStores({ stores, identity, metrics, clock, random }: WatchedStoresDeps): WatchedStores {
  const { database: own, redis } = stores
  const database = own === null ? null : watched(own, { ended: (...transaction) => watch.ended(...transaction) }, clock)
  const ask = database === null ? null : () => database.tx('system', ({ last }) => last('select 1'), { name: 'ask', readOnly: true })
  const others = { ...(redis === null ? {} : { redis: () => redis.state === 'up' }), issuers: () => areUp(identity()?.issuers() ?? []) }
  const watch = new DependencyWatch({ metrics, clock, database, ask, others })
  const certificates = Object.entries({ database, redis }).flatMap(([name, store]) =>
    store === null ? [] : [[name, new CertificateWatch({ peers: () => store.tlsPeers(), clock, random })] as const],
  )
  addCertificateMetrics(metrics, certificates)
  addKeyMetrics(metrics, { keyEnds: () => identity()?.keyEnds() ?? null })
  return {
    database,
    watch: {
      start() {
        watch.start()
        for (const [, certificate] of certificates) certificate.look()
      },
      stop() {
        watch.stop()
        for (const [, certificate] of certificates) certificate.stop()
      },
    },
  }
}

/** Whether the keys of all issuers could be fetched; null while that is not known, and where there are none. */
function areUp(issuers: readonly IssuerState[]): boolean | null {
  const known = issuers.filter(({ fetchedAgoMs, lastError }) => fetchedAgoMs !== null || lastError !== null)
  return known.length === 0 ? null : known.every(({ lastError }) => lastError === null)
}
