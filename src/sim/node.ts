/**
 * A simulated Ollama 0.33.0: one HTTP listener with its models, scheduler and runners. `createSimNode` starts it; `control`
 * sets faults; `kill` ends it as SIGKILL would, `restart` brings it back on the same port with nothing loaded.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { systemClock, type Clock } from '../base/clock.ts'
import { newRunner, nodeRandom, slotsOf, type NodeContext, type NodeSettings, type RegistryEntry } from './context.ts'
import { startControlServer, type ControlServer } from './control-server.ts'
import { NodeControl, type SimControl } from './control.ts'
import { hashEmbedder, type Embedder } from './embedder.ts'
import { FaultBook } from './faults.ts'
import { parseModelName } from './model-name.ts'
import { defaultModels, type SimModel } from './model.ts'
import { Scheduler } from './scheduler.ts'
import { NodeService, type ServiceCounts } from './service.ts'
import { Store, storeModel, type StoredModel } from './store.ts'
import { Ticker } from './ticker.ts'

export type { SimModel } from './model.ts'
export type { SimControl } from './control.ts'

export interface SimNodeOptions {
  /** 0: any free port. */
  readonly port?: number
  readonly host?: string
  readonly name?: string
  readonly models?: readonly SimModel[]
  readonly numParallel?: number
  readonly maxQueue?: number
  readonly maxLoadedModels?: number
  /** Memory for loaded models; 0: no limit, everything on the CPU. Default 24 GiB. */
  readonly vramBytes?: number
  readonly keepAliveMs?: number
  readonly loadTimeoutMs?: number
  readonly prefillTokensPerSecond?: number
  readonly decodeTokensPerSecond?: number
  readonly embedMsPerItem?: number
  /** Factor over token rates, load, embedding and transfer times; 10 means ten times as fast. Sessions (keep_alive) are not scaled. */
  readonly speed?: number
  readonly seed?: number
  readonly version?: string
  /** Context of models without `num_ctx`, tokens. */
  readonly contextTokens?: number
  /** Length of answers that end by themselves, tokens: least, most. */
  readonly answerTokens?: readonly [number, number]
  readonly cloud?: 'unreachable' | 'disabled'
  readonly origins?: 'default' | 'any'
  readonly nativeTemplate?: boolean
  readonly modelsDir?: string
  /** What the registry says of names; models with `pulled: false` are pullable without an entry. */
  readonly registry?: Readonly<Record<string, RegistryEntry>>
  readonly embedder?: Embedder
  /** A second port for faults and statistics: POST and DELETE /faults, GET /stats. 0: any. */
  readonly controlPort?: number
  readonly clock?: Clock
}

export interface SimStats extends ServiceCounts {
  readonly loads: number
  readonly unloads: number
  readonly openSockets: number
  readonly leakedSockets: number
  readonly perModel: Readonly<Record<string, number>>
}

export interface SimNode {
  readonly url: string
  readonly port: number
  readonly name: string
  readonly control: SimControl
  /** Where the control port listens; null without one. */
  readonly controlUrl: string | null
  stats(): SimStats
  /** Stops listening and ends every connection. */
  close(): Promise<void>
  /** The process dies: connections break, everything loaded is lost. */
  kill(): Promise<void>
  /** Back on the same port after `kill`. */
  restart(): Promise<void>
}

const tickers = new WeakMap<Clock, Ticker>()

function tickerOf(clock: Clock): Ticker {
  let ticker = tickers.get(clock)
  if (ticker === undefined) {
    ticker = new Ticker(clock)
    tickers.set(clock, ticker)
  }
  return ticker
}

function settingsOf(options: SimNodeOptions, registry: ReadonlyMap<string, RegistryEntry>): NodeSettings {
  return {
    name: options.name ?? 'sim',
    version: options.version ?? '0.33.0',
    numParallel: options.numParallel ?? 1,
    promptTokensPerMs: (options.prefillTokensPerSecond ?? 2_000) / 1_000,
    evalTokensPerMs: (options.decodeTokensPerSecond ?? 60) / 1_000,
    embedMsPerItem: options.embedMsPerItem ?? 8,
    speed: options.speed ?? 1,
    vramBytes: options.vramBytes ?? 24 * 1_073_741_824,
    contextTokens: options.contextTokens ?? 4_096,
    answerTokens: options.answerTokens ?? [24, 64],
    cloud: options.cloud ?? 'unreachable',
    origins: options.origins ?? 'default',
    nativeTemplate: options.nativeTemplate ?? false,
    modelsDir: options.modelsDir ?? '/usr/share/ollama/.ollama/models',
    registry,
    loopback: /^(127\.|localhost$|::1$)/.test(options.host ?? '127.0.0.1'),
  }
}

function stock(
  options: SimNodeOptions,
  wallMs: number,
): { store: Store; pullable: Map<string, StoredModel>; registry: Map<string, RegistryEntry> } {
  const store = new Store()
  const pullable = new Map<string, StoredModel>()
  const registry = new Map<string, RegistryEntry>()
  for (const [text, entry] of Object.entries(options.registry ?? {})) {
    const name = parseModelName(text)
    if (name !== null) registry.set(name.key, entry)
  }
  const models = options.models ?? defaultModels
  for (const [index, facts] of models.entries()) {
    const model = storeModel(facts, wallMs - index * 60_000)
    if (model === null) throw new Error(`invalid model name: ${facts.name}`)
    pullable.set(model.parsed.key, model)
    if (facts.pulled !== false) store.put(model)
    if (!registry.has(model.parsed.key)) registry.set(model.parsed.key, { kind: 'pullable' })
  }
  return { store, pullable, registry }
}

function buildContext(options: SimNodeOptions, clock: Clock): NodeContext {
  const ticker = tickerOf(clock)
  const { store, pullable, registry } = stock(options, clock.wallMs())
  const settings = settingsOf(options, registry)
  const scheduler = new Scheduler(ticker, {
    maxQueue: options.maxQueue ?? 512,
    maxLoadedModels: options.maxLoadedModels ?? 3,
    vramBytes: settings.vramBytes,
    keepAliveMs: options.keepAliveMs ?? 300_000,
    loadTimeoutMs: (options.loadTimeoutMs ?? 300_000) / settings.speed,
    pingMs: 19_700 / settings.speed,
    slotsOf: (model) => slotsOf(model, settings.numParallel),
    loadMs: (model) => model.facts.loadMs / settings.speed,
    newRunner: (_model, slots) => newRunner(ticker, settings, slots),
  })
  return {
    settings,
    ticker,
    store,
    scheduler,
    faults: new FaultBook(ticker),
    embedder: options.embedder ?? hashEmbedder,
    random: nodeRandom(options.seed ?? 1, settings.name),
    perModel: new Map(),
    pullable,
    pushed: new Set(),
    psBlockedUntilMs: 0,
  }
}

class Listener {
  readonly #service: NodeService
  readonly #host: string
  readonly sockets = new Set<Socket>()
  port: number
  #server: Server | null = null
  #retired = false

  constructor(service: NodeService, host: string, port: number) {
    this.#service = service
    this.#host = host
    this.port = port
  }

  /** It will not be opened again. */
  retire(): void {
    this.#retired = true
  }

  async open(): Promise<void> {
    if (this.#server !== null || this.#retired) return
    const server = createServer({
      maxHeaderSize: 1_048_576 + 4_096,
      requestTimeout: 0,
      headersTimeout: 0,
      keepAliveTimeout: 0,
      requireHostHeader: false,
    })
    this.#server = server
    server.on('connection', (socket) => {
      this.sockets.add(socket)
      socket.setNoDelay(true)
      socket.once('close', () => this.sockets.delete(socket))
    })
    // Clients that shut down their sending side are handled by the service, because the real server leaks some of them.
    Object.assign(server, { httpAllowHalfOpen: true })
    this.#service.attach(server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.port, this.#host, 511, resolve)
    })
    const address: AddressInfo | string | null = server.address()
    if (address !== null && typeof address !== 'string') this.port = address.port
  }

  /** Stops listening and breaks the open connections, as the kernel does when a process dies. */
  async shut(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null) return
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve())
    })
    for (const socket of this.sockets) socket.destroy()
    await closed
  }

  /** Stops listening but lets open requests end; idle connections are closed. */
  refuse(): void {
    const server = this.#server
    this.#server = null
    server?.close()
    server?.closeIdleConnections()
  }
}

/** Starts a node. It listens when the promise resolves. */
export async function createSimNode(options: SimNodeOptions = {}): Promise<SimNode> {
  const clock = options.clock ?? systemClock
  const context = buildContext(options, clock)
  const service = new NodeService(context)
  const host = options.host ?? '127.0.0.1'
  const listener = new Listener(service, host, options.port ?? 0)
  await listener.open()
  const control = new NodeControl(context, { refuse: () => listener.refuse(), accept: () => listener.open() })
  const stats = (): SimStats => ({
    ...service.counts(),
    loads: context.scheduler.loads,
    unloads: context.scheduler.unloads,
    openSockets: listener.sockets.size,
    leakedSockets: service.leakedSockets,
    perModel: Object.fromEntries(context.perModel),
  })
  let controlServer: ControlServer | null = null
  if (options.controlPort !== undefined) {
    try {
      controlServer = await startControlServer(control, { port: options.controlPort, host, stats })
    } catch (error) {
      await listener.shut()
      throw error
    }
  }
  const kill = async (): Promise<void> => {
    service.breakAll()
    await listener.shut()
    context.scheduler.reset()
  }
  return {
    url: `http://${host}:${listener.port}`,
    port: listener.port,
    name: context.settings.name,
    control,
    controlUrl: controlServer?.url ?? null,
    stats,
    kill,
    restart: () => listener.open(),
    close: async () => {
      listener.retire()
      control.clear()
      await kill()
      await controlServer?.close()
    },
  }
}
