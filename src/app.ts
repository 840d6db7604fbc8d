/**
 * The composition root: builds every part from one configuration and names the order of the relay's layers. It holds no
 * logic; it reads top to bottom as the way of a request, outermost first.
 */
import type { Clock } from './base/clock.ts'
import { addCacheMetrics } from './cache/cache-metrics.ts'
import { type CacheDeps, createCache } from './cache/layer.ts'
import { createRedisLease } from './cache/lease.ts'
import { createEpochStore } from './cache/postgres-epochs.ts'
import { createPostgresLayer, type PostgresLayerDeps } from './cache/postgres-layer.ts'
import { createRedisEpochStore } from './cache/redis-epochs.ts'
import { createRedisLayer } from './cache/redis-layer.ts'
import { createIdSource } from './base/ids.ts'
import type { Relay, RelayLayer } from './core/relay.ts'
import type { Config } from './config/index.ts'
import { isLoopback } from './config/validate.ts'
import { Fleet } from './fleet/fleet.ts'
import { RunnerLeases, type RunnerLeasesDeps } from './fleet/leases.ts'
import { manageable } from './fleet/operations/operations.ts'
import { addFleetGauges } from './fleet/snapshot.ts'
import { CallRegistry } from './http/call-registry.ts'
import type { InferenceDeps } from './http/inference/exchange.ts'
import { createGuard } from './http/auth/guard.ts'
import { ragRoutes } from './http/rag/asked-routes.ts'
import { createHttpServer, type HttpServer } from './http/server.ts'
import { answerOllamaRoute, createOwnRoutes, type SurfaceDeps } from './http/surface.ts'
import { createIdentity, type Identity } from './identity/identity.ts'
import type { Act } from './identity/key-store.ts'
import type { FetchText } from './identity/jwks.ts'
import { createLimits } from './limits/limits.ts'
import { addRedisMetrics } from './observe/redis-metrics.ts'
import { createObserver, type Observer } from './observe/observer.ts'
import { recorded } from './observe/recorded.ts'
import { addTraceHeaders, createTracer } from './observe/trace.ts'
import { createRag, type Rag, type RagParts } from './rag/rag.ts'
import type { OpenableDatabase } from './store/store.ts'
import type { RedisStore } from './store/redis.ts'
import { hopHeaders } from './wire/request-headers.ts'

/** What outlives a request (`durable.ts`), not started yet. */
export interface AppStores {
  readonly secret: string
  readonly database: OpenableDatabase | null
  readonly redis: RedisStore | null
  /** How the key sets of issuers are fetched; left out: by Node's own https. */
  readonly fetchText?: FetchText
  start(): Promise<void>
  close(): Promise<void>
}

export interface AppDeps {
  readonly config: Config
  readonly clock: Clock
  readonly version: string
  /** Whether the standard output is a terminal. */
  readonly terminal?: boolean
  /** Left out: nothing is kept, and everybody may do everything. */
  readonly stores?: AppStores
  /** In [0, 1). */
  readonly random?: () => number
}

export interface App {
  readonly fleet: Fleet
  readonly observer: Observer
  readonly calls: CallRegistry
  /** Null where nothing is kept. */
  readonly identity: Identity | null
  /** Null where documents are switched off, or nothing is kept. */
  readonly rag: Rag | null
  /** Listens and starts the probes. Rejects when the address cannot be bound. */
  listen(): Promise<{ readonly host: string; readonly port: number }>
  /** Opens the stores and what stands on them, after `listen`. Rejects when they cannot be had; all else goes on. */
  openStores(): Promise<void>
  /** Takes no new requests, lets running ones end for at most `graceMs`, then stops. */
  close(graceMs: number): Promise<void>
  /** Applies a new configuration to everything but the listening socket. Rejects and keeps the old one when it cannot. */
  reload(config: Config): Promise<void>
}

/** How long the last lines of the log may take to be written. */
const flushMsMax = 500

/** Builds the gateway. Throws when a file that the configuration names cannot be opened. */
export function createApp({ config: initial, clock, version, terminal = false, stores, random = Math.random }: AppDeps): App {
  let config = initial
  const ids = createIdSource()
  const newId = (): string => ids.requestId()
  const hopId = ids.traceId()
  const calls = new CallRegistry()
  const observer = createObserver({
    options: () => config.observe,
    clock,
    version,
    terminal,
    knownModel: (model) => fleet.knownModel(model),
  })
  const fleet = new Fleet({
    options: () => config.fleet,
    clock,
    random,
    events: observer,
    nodeHeaders: hopHeaders(hopId),
    addCallHeaders(headers, call) {
      headers.push('x-request-id', call.id)
      addTraceHeaders(headers, call.trace)
    },
    leases: createLeases(initial.fleet.loads.lease ? (stores?.redis ?? null) : null, { clock, replica: hopId }),
  })
  addFleetGauges(observer.metrics, fleet, clock)
  const identity = createAppIdentity(initial, { stores, clock, observer })
  const cache = createCache({
    options: () => config.cache,
    clock,
    random,
    secret: Buffer.from(stores?.secret ?? ids.traceId()),
    digestOf: (model, group) => fleet.digestOf(model, group),
    digestsOf: (model) => fleet.digestsOf(model),
    engineEpoch: (model, group) => fleet.engineOf(model, group),
    ...cacheStores(initial, {
      stores,
      clock,
      random,
      replica: hopId,
      report: (message, cause) => observer.logger.warn({ err: cause }, message),
    }),
  })
  addCacheMetrics(observer.metrics, cache)
  addRedisMetrics(observer.metrics, stores?.redis ?? null)
  const limits = createLimits({
    options: () => config.limits,
    clock,
    random,
    database: stores?.database ?? null,
    redis: stores?.redis ?? null,
    replica: hopId,
    events: observer,
  })
  const recording: readonly RelayLayer[] = [recorded(observer, clock), limits.recording]
  const access: readonly RelayLayer[] = identity === null ? [] : [identity.modelAccess]
  const limiting: readonly RelayLayer[] = [manageable(() => config.features.modelOperations), limits.limiting, cache.layer]
  const rag = createAppRag(initial, {
    stores,
    parts: {
      options: () => config,
      cache,
      metrics: observer.metrics,
      clock,
      random,
      newId,
      relay: through([...recording, cache.layer], fleet.relay),
      generation: through(limiting, fleet.relay),
      deadlineMs: () => config.fleet.admission.deadlineMs,
      fleet: {
        digestOf: (model, group) => fleet.digestOf(model, group),
        names: () => fleet.catalogue.names(),
        isLoaded: (model) => fleet.nodes.some(({ loaded }) => loaded.has(model)),
      },
      onTrouble: (message, cause) => observer.logger.warn({ err: cause }, message),
    },
  })
  const layers = [...recording, ...access, ...(rag === null ? [] : [rag.layer]), ...limiting]
  const layered = (innermost: Relay): Relay => through(layers, innermost)
  const inference: InferenceDeps = {
    relay: layered(fleet.relay),
    calls,
    clock,
    options: () => config.http,
    deadlineMs: () => config.fleet.admission.deadlineMs,
    newId,
    tracer: createTracer({ ids, enabled: () => config.observe.trace.enabled }),
    onRefused: observer.requestRefused,
    onBug: observer.bug,
  }
  const guard = createGuard(identity, limits.addresses, initial.http.trustedProxies)
  const onChange = (action: string, target: string, act: Act): void => {
    observer.logger.info({ action, target, by: act.by.subject }, 'changed by hand')
    identity?.audit.noteAct(action, target, act)
  }
  const surface: SurfaceDeps = {
    inference,
    blobs: { inference, layered, upload: fleet.operations.uploadBlob },
    admin: {
      fleet,
      calls,
      clock,
      newId,
      enabled: () => config.features.admin,
      guard,
      onChange,
      onBug: (error) => observer.bug(error, null),
    },
    identity,
    cache,
    usage:
      stores === undefined || stores.database === null ? null : { database: stores.database, secret: stores.secret, flush: limits.flush },
    rag:
      rag === null
        ? null
        : ragRoutes(
            { service: rag, database: rag.database, clock, newId, guard, onChange, onBug: (error) => observer.bug(error, null) },
            { recording: (next) => through(recording, next), access: (next) => through(access, next), limiting: limits.limiting },
          ),
    health: {
      nodes: () => fleet.nodes,
      draining: () => server.draining,
      metricsEnabled: () => config.observe.metrics.enabled,
      renderMetrics: () => observer.metrics.render(),
    },
    guard,
    onBug: (error) => observer.bug(error, null),
  }
  const { origins, hosts, host } = config.http
  const server: HttpServer = createHttpServer({
    answer: (arrival) => answerOllamaRoute(surface, arrival),
    ownRoutes: createOwnRoutes(surface),
    options: config.http,
    front: { origins, hosts, loopback: isLoopback(host), hopId, newId },
    guard,
    calls,
    clock,
    memoryEvents: observer,
    onBug: surface.onBug,
  })

  return {
    fleet,
    observer,
    calls,
    identity,
    rag,
    async listen() {
      const address = await server.listen()
      fleet.start()
      observer.configLoaded(null)
      return address
    },
    async openStores() {
      await stores?.start()
      await identity?.start()
      await limits.start()
      await cache.start()
      await rag?.start()
    },
    async close(graceMs) {
      await server.close(graceMs)
      await rag?.close()
      await cache.close()
      await limits.close()
      await identity?.close()
      await fleet.close()
      await stores?.close()
      // A log that nobody reads must not keep the process (F65).
      await Promise.race([observer.flush(), clock.sleep(flushMsMax)])
    },
    async reload(next) {
      const before = config
      config = next
      try {
        await fleet.reconcile(next.fleet.nodes)
      } catch (error) {
        config = before
        throw error
      }
      observer.configLoaded(null)
    },
  }
}

/** `innermost` behind all of `layers`, the first one outermost. */
function through(layers: readonly RelayLayer[], innermost: Relay): Relay {
  return layers.reduceRight((next, layer) => layer(next), innermost)
}

/** Documents need a database, and a key for what is made of them that outlives this process with it. */
function createAppRag(
  { features }: Config,
  { stores, parts }: { readonly stores: AppStores | undefined; readonly parts: Omit<RagParts, 'database' | 'secret'> },
): Rag | null {
  if (stores === undefined || stores.database === null || !features.rag) return null
  return createRag({ ...parts, database: stores.database, secret: Buffer.from(stores.secret) })
}

/** What the cache has behind memory. */
function cacheStores(
  { cache, redis: { url = '' } }: Config,
  { stores, ...deps }: Pick<PostgresLayerDeps, 'clock' | 'random' | 'report'> & { stores: AppStores | undefined; replica: string },
): Pick<CacheDeps, 'layers' | 'lease' | 'epochStore'> {
  const redis = cache.layers.redis ? (stores?.redis ?? null) : null
  const database = cache.layers.postgres ? (stores?.database ?? null) : null
  return {
    layers: [
      ...(redis === null ? [] : [createRedisLayer({ redis, clock: deps.clock, isCluster: url.includes('+cluster:') })]),
      ...(database === null ? [] : [createPostgresLayer({ database, ...deps })]),
    ],
    ...(redis === null || !cache.flight.lease ? {} : { lease: createRedisLease({ redis, ...deps }) }),
    ...epochStoreOf(stores),
  }
}

/** The database's when there is one, for it loses nothing. */
function epochStoreOf(stores: AppStores | undefined): Pick<CacheDeps, 'epochStore'> {
  const { database = null, redis = null } = stores ?? {}
  if (database !== null) return { epochStore: createEpochStore(database) }
  return redis === null ? {} : { epochStore: createRedisEpochStore(redis) }
}

function createLeases(redis: RedisStore | null, deps: Omit<RunnerLeasesDeps, 'redis'>): RunnerLeases | null {
  return redis === null ? null : new RunnerLeases({ redis, ...deps })
}

function createAppIdentity(
  { identity: options }: Config,
  { stores, clock, observer }: { stores: AppStores | undefined; clock: Clock; observer: Observer },
): Identity | null {
  if (stores === undefined || stores.database === null) {
    // The configuration was checked for this; a caller that forgets the stores must not open the doors.
    if (options.mode !== 'open') throw new Error(`identity.mode ${options.mode} without a store`)
    return null
  }
  const { database, secret, fetchText, redis } = stores
  const optional = { ...(fetchText === undefined ? {} : { fetchText }), ...(redis === null ? {} : { bus: redis }) }
  return createIdentity({ options, database, secret, clock, events: observer, ...optional })
}
