/**
 * A gateway with the user's own timeouts, retries, queue, breaker and features in front of simulated nodes on loopback: as many as he has,
 * at least two. Whatever would reach out of this process is off: his nodes, stores, issuers, collector, watched folders, log.
 */
import { createApp, type App } from '../../app.ts'
import type { Clock } from '../../base/clock.ts'
import { type Config, configSchema } from '../../config/schema.ts'
import { createHerd, type SimHerd } from '../../sim/herd.ts'
import { nodeNameOf } from '../../fleet/by-hand.ts'
import type { NodeOptions } from '../../fleet/options.ts'

interface Staging {
  readonly config: Config
  readonly clock: Clock
  /** When it is aborted nobody waits for the stage to be ready. */
  readonly signal: AbortSignal
}

export interface Stage {
  readonly url: string
  readonly app: App
  readonly herd: SimHerd
  readonly model: string
  /** Generations that all nodes do at once. */
  readonly slots: number
  close(): Promise<void>
}

const nodesMin = 2
const nodesMax = 8
const slotsUsual = 4
const slotsMax = 8
/** Times a mid-size GPU: a stream of the run then takes some 10 ms. */
const speed = 20
const readyMsMax = 10_000
const model = 'llama3.2:3b'

/** The configuration of a stage. What is left out of the user's own is what could reach out of it. */
export function stagedConfig(
  config: Config,
  nodes: readonly { readonly url: string; readonly name: string; readonly slots: number }[],
): Config {
  const usual = configSchema.parse({})
  return {
    ...config,
    fleet: {
      ...config.fleet,
      nodes: nodes.map((node) => ({ ...node, headers: {} })),
    },
    http: { ...config.http, host: '127.0.0.1', port: 0, workers: 1, routeHeaders: true, drainDelayMs: 0 },
    identity: usual.identity,
    limits: { ...config.limits, enabled: false },
    observe: { ...usual.observe, log: { ...usual.observe.log, level: 'silent', access: false } },
    ingest: usual.ingest,
    store: { ...usual.store, enabled: false },
    redis: usual.redis,
    features: { ...config.features, rag: false },
  }
}

/** Told to the gateway, too: what a run lasts is too short to learn it. */
function slotsOf({ slots = slotsUsual }: NodeOptions): number {
  return Math.min(slotsMax, slots)
}

/** Starts all of it, with the model in memory everywhere and the gateway aware of it. */
export async function openStage({ config, clock, signal }: Staging): Promise<Stage> {
  const own = config.fleet.nodes.slice(0, nodesMax).map((node) => ({ name: nodeNameOf(node), numParallel: slotsOf(node) }))
  while (own.length < nodesMin) own.push({ name: `extra-${own.length}`, numParallel: own[0]?.numParallel ?? slotsUsual })
  const herd = await createHerd({ speed, keepAliveMs: 600_000, nodes: own })
  const nodes = herd.nodes.map(({ url, name }, index) => ({ url, name, slots: own[index]?.numParallel ?? slotsUsual }))
  const app = await createApp({ config: stagedConfig(config, nodes), clock, version: 'chaos' })
  const close = async (): Promise<void> => {
    await app.close(0)
    await herd.close()
  }
  try {
    const { port } = await app.listen()
    await warm(app, herd, { clock, signal })
    return { url: `http://127.0.0.1:${port}`, app, herd, model, slots: own.reduce((sum, { numParallel }) => sum + numParallel, 0), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function warm(app: App, herd: SimHerd, { clock, signal }: Pick<Staging, 'clock' | 'signal'>): Promise<void> {
  const body = JSON.stringify({ model, stream: false, keep_alive: -1 })
  await Promise.all(herd.urls.map(async (url) => (await fetch(`${url}/api/generate`, { method: 'POST', body })).arrayBuffer()))
  const endMs = clock.nowMs() + readyMsMax
  while (!signal.aborted && !app.fleet.nodes.every(({ modelsKnown }) => modelsKnown)) {
    if (clock.nowMs() > endMs) throw new Error('the simulated nodes do not come up')
    await clock.sleep(5)
  }
  await Promise.all(app.fleet.nodes.map((node) => app.fleet.prober.refreshLoaded(node)))
}
