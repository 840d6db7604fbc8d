/**
 * What Corral stands on, under one watch: database, Redis, issuers of tokens; certificates, of the collector of traces too, and keys that end.
 * What it sees becomes metrics.
 */
import { tlsPeerOf, type TlsPeer } from '../../base/certificate.ts'
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
  readonly identity: () => Pick<Identity, 'issuers' | 'keyEnds' | 'options'> | null
  /** Where spans are delivered; null: nowhere. */
  readonly collectorUrl: string | null
  /** 0 to below 1. */
  readonly random: () => number
}

/** Every transaction but those of the opening goes through `database` of what is returned. */
export function watchStores(deps: WatchedStoresDeps): WatchedStores {
  const { identity, metrics, clock } = deps
  const { database: own, redis } = deps.stores
  const database = own === null ? null : watched(own, { ended: (...transaction) => watch.ended(...transaction) }, clock)
  const ask = database === null ? null : () => database.tx('system', ({ last }) => last('select 1'), { name: 'ask', readOnly: true })
  const others = { ...(redis === null ? {} : { redis: () => redis.state === 'up' }), issuers: () => areUp(identity()?.issuers() ?? []) }
  const watch = new DependencyWatch({ metrics, clock, database, ask, others })
  const certificates = certificateWatches(deps)
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

/** `stores` with another database in the place of their own. */
export function withDatabase<S extends { start(): Promise<void>; close(): Promise<void> }>(stores: S, database: OpenableDatabase | null) {
  return { ...stores, database, start: () => stores.start(), close: () => stores.close() }
}

/** By the names that metrics and alerts give what is watched. Of several issuers the certificate that ends first counts. */
function certificateWatches({ stores: { database, redis }, identity, collectorUrl, clock, random }: WatchedStoresDeps) {
  const peersOf: Readonly<Record<string, (() => readonly TlsPeer[]) | null>> = {
    database: database === null ? null : () => database.tlsPeers(),
    redis: redis === null ? null : () => redis.tlsPeers(),
    issuers: () => securePeers(identity()?.options.issuers.map(({ jwksUrl }) => jwksUrl) ?? []),
    collector: collectorUrl === null ? null : () => securePeers([collectorUrl]),
  }
  return Object.entries(peersOf).flatMap(([name, peers]) =>
    peers === null ? [] : [[name, new CertificateWatch({ peers, clock, random })] as const],
  )
}

function securePeers(urls: readonly string[]): TlsPeer[] {
  return urls.flatMap((url) => tlsPeerOf(url) ?? [])
}

/** Whether the keys of all issuers could be fetched; null while that is not known, and where there are none. */
function areUp(issuers: readonly IssuerState[]): boolean | null {
  const known = issuers.filter(({ fetchedAgoMs, lastError }) => fetchedAgoMs !== null || lastError !== null)
  return known.length === 0 ? null : known.every(({ lastError }) => lastError === null)
}
