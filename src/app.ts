/**
 * The composition root: builds every part from one configuration and names the order of the relay's layers. It holds no
 * logic; it reads top to bottom as the way of a request, outermost first.
 */
import type { Clock } from './base/clock.ts'
import { addCacheMetrics } from './cache/cache-metrics.ts'
import { cacheStores } from './cache/cache-stores.ts'
import { createCache } from './cache/layer.ts'
import { createIdSource } from './base/ids.ts'
import { isLoopback } from './base/loopback.ts'
import type { OperatorSettings } from './core/operator-settings.ts'
import { type Relay, type RelayLayer, through } from './core/relay.ts'
import type { Config } from './config/index.ts'
import { LiveSettings, type Sources } from './config/live-settings.ts'
import { configHash } from './config/show.ts'
import { share, type WorkerPlace } from './config/worker-share.ts'
import { Fleet } from './fleet/fleet.ts'
import { createLeases } from './fleet/leases.ts'
import { manageable } from './fleet/operations/operations.ts'
import { createTransport } from './fleet/transport.ts'
import { addFleetGauges } from './fleet/fleet-gauges.ts'
import { CallRegistry } from './http/call-registry.ts'
import type { InferenceDeps } from './http/inference/exchange.ts'
import { createExplanationShelf } from './http/admin/explanation-shelf.ts'
import { lookAtDependencies } from './http/admin/dependencies.ts'
import { LiveFeed } from './http/admin/live.ts'
import { NodeChanges } from './http/admin/node-changes.ts'
import { createNodeStore } from './http/admin/node-store.ts'
import { createSwitchStore } from './http/admin/switch-store.ts'
import { createGuard } from './http/auth/guard.ts'
import { createSignIn } from './http/auth/sign-in.ts'
import { createStartup } from './http/health/startup.ts'
import { watchStores, withDatabase } from './http/health/watched-stores.ts'
import { createPeerAnswers, followPeers, type RenderMetrics, tellSigned, wholeScrape, wholeTotals } from './http/peer-answers.ts'
import { joinPeers, noPeers, type PeerAnswer, type PeerQuestion, type Peers, type ProcessTotals } from './http/peers.ts'
import { createReplicaPeers } from './http/replica-peers.ts'
import { createHttpServer, type HttpServer } from './http/server.ts'
import { answerOllamaRoute, createOwnRoutes, type SurfaceDeps } from './http/surface.ts'
import { Traffic } from './http/traffic.ts'
import type { Identity } from './identity/identity.ts'
import type { FetchText } from './identity/jwks.ts'
import type { Act } from './identity/key-store.ts'
import { modelAccess } from './identity/model-access.ts'
import { createStoredIdentity } from './identity/stored-identity.ts'
import { createLimits } from './limits/limits.ts'
import { addRedisMetrics } from './observe/redis-metrics.ts'
import { Explanations } from './observe/explained.ts'
import { createObserver, type Observer } from './observe/observer.ts'
import { Overview } from './observe/overview.ts'
import { readTotals } from './observe/overview-totals.ts'
import { Phases } from './observe/phases.ts'
import { recorded } from './observe/recorded.ts'
import { createTracing } from './observe/tracing.ts'
import { createOptionalRag } from './rag/optional-rag.ts'
import type { Rag } from './rag/rag.ts'
import type { OpenableDatabase } from './store/store.ts'
import type { RedisStore } from './store/redis-store.ts'
import { hopHeaders } from './wire/request-headers.ts'

/** What outlives a request (`durable.ts`), not started yet. */
export interface AppStores {
  readonly secret: string
  readonly database: OpenableDatabase | null
  readonly redis: RedisStore | null
  /** How the key sets of issuers are fetched; left out: by Node's own https. */
  readonly fetchText?: FetchText
  start(): Promise<void>
  /** Whether the database was asked for once since `start`; left out: when `start` is over. */
  readonly tried?: () => boolean
  close(): Promise<void>
}

export interface AppDeps {
  readonly config: Config
  /** Where its values come from; left out: nobody knows. */
  readonly sources?: Omit<Sources, 'config'>
  readonly clock: Clock
  readonly version: string
  /** Whether the standard output is a terminal. */
  readonly terminal?: boolean
  /** Left out: nothing is kept, and everybody may do everything. */
  readonly stores?: AppStores
  /** In [0, 1). */
  readonly random?: () => number
  /** The other workers of this machine, the place of this one among them, and what no process elsewhere has; left out: it is alone. */
  readonly peers?: Peers
  readonly place?: WorkerPlace
  readonly machine?: string
}

export interface App {
  readonly fleet: Fleet
  readonly observer: Observer
  readonly calls: CallRegistry
  /** Null where nothing is kept. */
  readonly identity: Identity | null
  /** Null where documents are switched off, or nothing is kept. */
  readonly rag: Rag | null
  /** The configuration in force, and what is switched in it. */
  readonly settings: OperatorSettings
  /** Takes over what was changed by hand in the other processes of this machine, before `listen`. */
  followPeers(): Promise<void>
  /** Listens and starts the probes. Rejects when the address cannot be bound. */
  listen(): Promise<{ readonly host: string; readonly port: number }>
  /** Opens the stores and what stands on them, after `listen`. Rejects when they cannot be had; all else goes on. */
  openStores(): Promise<void>
  /** Takes no new requests, lets running ones end for at most `graceMs`, then stops. */
  close(graceMs: number): Promise<void>
  /** Answers another worker of this machine. Never rejects. */
  answerPeer(question: PeerQuestion): Promise<PeerAnswer>
  /** Applies a new configuration to everything but the listening socket. Rejects and keeps the old one when it cannot. */
  reload(config: Config, sources?: Omit<Sources, 'config'>): Promise<void>
  /** What the sources said was of no use, and why. */
  noteRefused(problems: readonly string[]): void
}

/** How long the last lines of the log may take to be written. */
const flushMsMax = 500
/** How long the last spans may take to be delivered. */
const spansMsMax = 2_000

/** Builds the gateway. Rejects when a file that the configuration names cannot be opened. */
export async function createApp(deps: AppDeps): Promise<App> {
  const { config: initial, clock, version, terminal = false, random = Math.random, place = { index: 0, count: 1 } } = deps
  let config = initial
  const ids = createIdSource()
  const newId = (): string => ids.requestId()
  const hopId = ids.traceId()
  const workers = deps.peers ?? noPeers
  const replicas = createReplicaPeers(deps.stores?.redis ?? null, {
    clock,
    replica: hopId,
    machine: deps.machine ?? hopId,
    workers: place.count,
    alive: () => limits.stats.limiter.replicas,
  })
  const peers = replicas === null ? workers : joinPeers(workers, replicas)
  const calls = new CallRegistry()
  const tracing = createTracing({
    options: () => config.observe,
    clock,
    random,
    ids,
    version,
    instance: hopId,
    connect: createTransport,
    onTrouble: (reason) => observer.spansTrouble(reason),
  })
  const observer = createObserver({
    options: () => config.observe,
    clock,
    version,
    terminal,
    knownModel: (model) => fleet.knownModel(model),
    onRequest: tracing.onRequest,
  })
  const onTrouble = (message: string, cause: unknown): void => observer.logger.warn({ err: cause }, message)
  tracing.addMetrics(observer.metrics)
  const { database, watch } = watchStores({
    stores: deps.stores ?? { database: null, redis: null },
    identity: () => identity,
    collectorUrl: initial.observe.trace.endpoint ?? null,
    metrics: observer.metrics,
    clock,
    random,
  })
  const stores = deps.stores === undefined ? undefined : withDatabase(deps.stores, database)
  const fleet = new Fleet({
    options: () => config.fleet,
    slotsShare: (slots) => share(slots, place),
    clock,
    random,
    events: observer,
    nodeHeaders: hopHeaders(hopId),
    addCallHeaders(headers, call) {
      headers.push('x-request-id', call.id)
      return tracing.startAttempt(headers, call)
    },
    leases: createLeases(initial.fleet.loads.lease ? (stores?.redis ?? null) : null, { clock, replica: hopId }),
  })
  addFleetGauges(observer.metrics, fleet, clock)
  const identity = createStoredIdentity(initial.identity, stores, { clock, events: observer, onSigned: tellSigned(workers) })
  const cache = createCache({
    options: () => config.cache,
    clock,
    random,
    secret: Buffer.from(stores?.secret ?? ids.traceId()),
    digestOf: (model, group) => fleet.digestOf(model, group),
    digestsOf: (model) => fleet.digestsOf(model),
    engineEpoch: (model, group) => fleet.engineOf(model, group),
    ...cacheStores({
      options: initial.cache,
      redisUrl: initial.redis.url,
      stores: stores ?? null,
      clock,
      random,
      replica: hopId,
      report: onTrouble,
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
    workers: place.count,
    events: observer,
    audit: identity?.audit ?? null,
  })
  const shelf = createExplanationShelf(stores?.redis ?? null)
  const explanations = new Explanations(clock, shelf.keep)
  const phases = new Phases({ clock, metrics: observer.metrics })
  const recording: readonly RelayLayer[] = [explanations.layer, recorded(observer, clock), limits.recording]
  const access: readonly RelayLayer[] = identity === null ? [] : [modelAccess]
  const caching: readonly RelayLayer[] = [cache.layer, phases.boundary('cache')]
  const limiting = [phases.begin, manageable(() => config.features.modelOperations), limits.limiting, phases.boundary('limits'), ...caching]
  const rag = await createOptionalRag(stores, {
    enabled: initial.features.rag,
    parts: {
      options: () => config,
      cache,
      metrics: observer.metrics,
      clock,
      random,
      newId,
      tracing,
      relay: through([...recording, ...caching], fleet.relay),
      generation: through(limiting, fleet.relay),
      deadlineMs: () => config.fleet.admission.deadlineMs,
      fleet,
      onTrouble,
      onParserHeld: observer.parserHeld,
    },
  })
  const layers = [phases.boundary('body'), ...recording, ...access, ...(rag === null ? [] : [rag.layer]), ...limiting]
  const layered = (innermost: Relay): Relay => through(layers, innermost)
  const hasConsole = (): boolean => config.features.console
  const signIn = createSignIn({ secret: stores?.secret, clock, enabled: hasConsole, identity: initial.identity })
  const guard = createGuard(identity, limits.addresses, { proxies: initial.http.trustedProxies, sessions: signIn.sessions })
  const inference: InferenceDeps = {
    relay: layered(fleet.relay),
    calls,
    explanations,
    phases,
    clock,
    options: () => config.http,
    deadlineMs: () => config.fleet.admission.deadlineMs,
    newId,
    tracer: tracing.tracer,
    onRefused: observer.requestRefused,
    guard,
    onBug: observer.bug,
  }
  const onChange = (action: string, target: string, act: Act): void => {
    observer.logger.info({ action, target, by: act.by.subject }, 'changed by hand')
    identity?.audit.noteAct(action, target, act)
  }
  const onBug: SurfaceDeps['onBug'] = (error, told) => observer.bug(error, told ?? null)
  const onWarning = (message: string): void => observer.logger.warn(message)
  const settings = new LiveSettings({
    initial: { config, ...(deps.sources ?? unknownSources) },
    clock,
    store: createSwitchStore(database),
    tell: async (name, wanted) => void (await workers.ask({ kind: 'switch', name, wanted })),
    onTrouble,
    async apply(next) {
      const before = config
      config = next
      try {
        // A switch leaves the nodes alone, those that were added by hand too.
        if (next.fleet.nodes !== before.fleet.nodes) await fleet.reconcile(next.fleet.nodes)
      } catch (error) {
        config = before
        throw error
      }
      observer.configLoaded(null, configHash(config))
    },
  })
  const nodes = new NodeChanges({ fleet, clock, store: createNodeStore(stores), peers, onTrouble })
  const admin = { fleet, nodes, calls, peers, clock, newId, enabled: () => config.features.admin, guard, onChange, onBug }
  const counted = (): ProcessTotals => {
    const now = { queued: fleet.pools.countQueued(), inFlight: calls.size }
    return { process: hopId, totals: readTotals(observer.metrics.families, now) }
  }
  const overview = new Overview({ clock, read: wholeTotals(peers, counted) })
  const renderOwn: RenderMetrics = (exposition) => observer.metrics.render(exposition)
  const renderMetrics = wholeScrape(workers, renderOwn)
  const startup = createStartup(() => fleet.nodes, stores?.tried)
  const issuers = () => identity?.issuers() ?? []
  const look = () => lookAtDependencies({ fleet, clock, database: stores?.database ?? null, redis: stores?.redis ?? null, issuers })
  const live = new LiveFeed({ ...admin, overview, counted, metrics: observer.metrics, look })
  const surface: SurfaceDeps = {
    inference,
    blobs: { inference, layered, upload: fleet.operations.uploadBlob },
    admin,
    explain: { explanations, shelf, routeHeaders: () => config.http.routeHeaders },
    live,
    docs: { enabled: () => config.features.docs, onBug },
    console: { enabled: hasConsole, guard, signIn, version, newId, onBug, onTrouble },
    settings: {
      settings,
      version,
      look,
      renderMetrics,
    },
    identity,
    cache,
    usage:
      stores === undefined || stores.database === null ? null : { database: stores.database, secret: stores.secret, flush: limits.flush },
    rag:
      rag === null
        ? null
        : (await import('./http/rag/rag-routes.ts')).ragRoutes(
            { service: rag, database: rag.database, clock, newId, guard, onChange, onWarning, onBug },
            { recording: (next) => through(recording, next), access: (next) => through(access, next), limiting: limits.limiting },
          ),
    health: {
      nodes: () => fleet.nodes,
      draining: () => server.draining,
      started: startup.isOver,
      metricsEnabled: () => config.observe.metrics.enabled,
      renderMetrics,
      onScraped: observer.scraped,
    },
    guard,
    onBug,
  }
  const server: HttpServer = createHttpServer({
    answer: (arrival) => answerOllamaRoute(surface, arrival),
    ownRoutes: createOwnRoutes(surface),
    options: config.http,
    front: { origins: config.http.origins, hosts: config.http.hosts, loopback: isLoopback(config.http.host), hopId, newId },
    guard,
    calls,
    clock,
    traffic: new Traffic({ metrics: observer.metrics, clock, tracing, newId, onOwnEnded: observer.exchangeEnded }),
    memoryEvents: observer,
    onBug: surface.onBug,
  })
  const told = { ...admin, settings, cache, identity, explanations, renderMetrics: renderOwn, counted, onTrouble: onBug }
  const answerPeer = createPeerAnswers(told)

  return {
    fleet,
    observer,
    calls,
    identity,
    rag,
    settings,
    answerPeer,
    followPeers: () => followPeers(workers, { fleet, settings, onTrouble }),
    async listen() {
      const address = await server.listen()
      fleet.start()
      void overview.start()
      observer.configLoaded(null, configHash(config))
      return address
    },
    openStores: () =>
      startup.opening(async () => {
        replicas?.open(answerPeer)
        await stores?.start()
        watch.start()
        await settings.start()
        await nodes.start()
        await identity?.start()
        await limits.start()
        await cache.start()
        await rag?.start()
      }),
    async close(graceMs) {
      overview.stop()
      watch.stop()
      settings.close()
      nodes.close()
      live.close()
      await server.close(graceMs)
      // Until here the others see what is still under way, and can cancel it.
      replicas?.close()
      await rag?.close()
      await cache.close()
      await limits.close()
      await identity?.close()
      await fleet.close()
      await stores?.close()
      // A collector or a log that nobody reads must not keep the process (F65).
      await Promise.race([tracing.close(), clock.sleep(spansMsMax)])
      await Promise.race([observer.flush(), clock.sleep(flushMsMax)])
    },
    reload: (next, sources = unknownSources) => settings.reload({ config: next, ...sources }),
    noteRefused: (problems) => settings.noteRefused(problems),
  }
}

const unknownSources: Omit<Sources, 'config'> = { origins: new Map(), file: null }
