/**
 * The plan that Corral began with, as one ladder: searches before one node, two connections to Postgres and nothing else, then eight nodes, then caches, then pooled
 * connections through PgBouncer, then the index that `corral tune` chose. Each rung is a gateway of its own on the same corpus and the same nodes,
 * asked by as many people, of whom some ask what was asked before on that rung. The plan's milliseconds (122, 100, 90, 85) are those of its
 * machines; what is held to it are their ratios, and what eight nodes are worth to chats.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

import { systemClock } from '../src/base/clock.ts'
import { createHerd, type SimHerd } from '../src/sim/herd.ts'
import { embedder, fillCollection } from './harness/bench-collection.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atLeast, atMost, type Bar, benchResult, type BenchOptions, type BenchResult, rounded } from './harness/result.ts'
import { type Postgres, startPooledPostgres } from './harness/services.ts'
import { onStage, type Stage } from './harness/stage.ts'

const topics = 200
/** People who search, and read for a second in the mean: one node that takes `embedMs` for each search is busy for two thirds of its time. */
const people = 12
const thinkMs = 1_000
const embedMs = 60
const repeatShare = 0.4
/** Chats at once: more than eight nodes of `slots` places take. One place is what Ollama gives a model by default. */
const chatters = 16
const slots = 1
const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))

interface Rung {
  readonly name: string
  readonly nodes: number
  readonly hasCaches: boolean
  readonly isPooled: boolean
  readonly isTuned: boolean
  /** Of the first rung's P50; 1 for itself. */
  readonly p50ShareMax: number
}

const rungs: readonly Rung[] = [
  { name: 'one node', nodes: 1, hasCaches: false, isPooled: false, isTuned: false, p50ShareMax: 1 },
  { name: 'eight nodes', nodes: 8, hasCaches: false, isPooled: false, isTuned: false, p50ShareMax: 0.82 },
  { name: 'caches', nodes: 8, hasCaches: true, isPooled: false, isTuned: false, p50ShareMax: 0.74 },
  { name: 'pooled connections', nodes: 8, hasCaches: true, isPooled: true, isTuned: false, p50ShareMax: 0.74 },
  { name: 'tuned index', nodes: 8, hasCaches: true, isPooled: true, isTuned: true, p50ShareMax: 0.7 },
]

interface Climbed {
  readonly p50Ms: number
  readonly p95Ms: number
  readonly hitShare: number
  readonly failedShare: number
  readonly chatsPerSecond: number
}

function envOf(rung: Pick<Rung, 'hasCaches' | 'isPooled'>, { directUrl, pooledUrl }: Postgres): Record<string, string> {
  return {
    CORRAL_STORE__ENABLED: 'true',
    CORRAL_SECRET: 'a secret of this bench, thirty-two characters',
    CORRAL_CACHE__ENABLED: String(rung.hasCaches),
    CORRAL_FLEET__ADMISSION__SLOTS_ASSUMED: String(slots),
    DATABASE_URL: rung.isPooled ? pooledUrl : directUrl,
    ...(rung.isPooled ? {} : { CORRAL_STORE__POOL__CONNECTIONS_MAX: '2' }),
  }
}

const messages = [{ role: 'user', content: '######## How many head of cattle stand in the north pasture tonight?' }]
const chat = JSON.stringify({ model: 'llama3.2:3b', messages, options: { num_predict: 24 } })

async function searchWindow(stage: Stage, port: number, { isQuick }: BenchOptions): Promise<Omit<Climbed, 'chatsPerSecond'>> {
  const driver = await stage.driver()
  // The same seed on every rung: the same searches in the same order.
  const workload = { kind: 'searches', seed: 7, requests: 10_000_000, topics, repeatShare } as const
  await driver.start({ port, path: '/rag/search', connections: people, thinkMs, rampMs: thinkMs, timeoutMs: 30_000, workload })
  await systemClock.sleep(isQuick ? 2_000 : 5_000)
  await driver.mark()
  await systemClock.sleep(isQuick ? 8_000 : 40_000)
  const window = await driver.mark()
  await driver.finish()
  const { ok, failedShare } = outcomeOf([window])
  const latency = window.latencyMs['ok']
  const hits = window.cache['hit']?.count ?? 0
  return {
    p50Ms: rounded(latency?.p50 ?? Infinity),
    p95Ms: rounded(latency?.p95 ?? Infinity),
    hitShare: rounded(hits / Math.max(1, ok)),
    failedShare: rounded(failedShare),
  }
}

async function chatWindow(stage: Stage, port: number, { isQuick }: BenchOptions): Promise<number> {
  const driver = await stage.driver()
  await driver.start({ port, body: chat, connections: chatters, timeoutMs: 60_000 })
  await systemClock.sleep(3_000)
  await driver.mark()
  await systemClock.sleep(isQuick ? 5_000 : 20_000)
  const window = await driver.mark()
  await driver.finish(60_000)
  return rounded(outcomeOf([window]).okPerSecond)
}

function portsOf({ urls }: SimHerd): number[] {
  return urls.map((url) => Number(new URL(url).port))
}

/** Documents in, by nodes that embed fast: how long that takes is another bench's question. */
async function fill(stage: Stage, postgres: Postgres, { isQuick }: BenchOptions): Promise<void> {
  const herd = await createHerd({ nodes: 8, embedMsPerItem: 1 })
  const gateway = await stage.gateway(portsOf(herd), { env: envOf({ hasCaches: false, isPooled: true }, postgres) })
  await fillCollection(`http://127.0.0.1:${gateway.port}`, { documents: isQuick ? 200 : 2_000, topics })
  await gateway.stop()
  await herd.close()
}

/** What the rung before has left in the store's cache would be a gift to the next. */
async function emptyCache({ directUrl }: Postgres): Promise<void> {
  const client = new pg.Client(directUrl)
  await client.connect()
  try {
    await client.query('truncate cache_entries')
  } finally {
    await client.end()
  }
}

async function climb(stage: Stage, rung: Rung, { options, ports, postgres }: Ladder): Promise<Climbed> {
  const env = envOf(rung, postgres)
  if (rung.isTuned) execFileSync(process.execPath, [main, 'tune', 'bench', '--apply'], { env: { ...process.env, ...env }, stdio: 'ignore' })
  await emptyCache(postgres)
  const gateway = await stage.gateway(ports.slice(0, rung.nodes), { env })
  // The embedder is loaded before anything is measured.
  const body = JSON.stringify({ model: embedder, input: Array.from({ length: 64 }, (_, index) => `bale ${index}`) })
  await (await fetch(`http://127.0.0.1:${gateway.port}/api/embed`, { method: 'POST', body })).arrayBuffer()
  const searches = await searchWindow(stage, gateway.port, options)
  const chatsPerSecond = await chatWindow(stage, gateway.port, options)
  await gateway.stop()
  options.log(`${rung.name}: ${JSON.stringify({ ...searches, chatsPerSecond })}`)
  return { ...searches, chatsPerSecond }
}

interface Ladder {
  readonly options: BenchOptions
  readonly ports: readonly number[]
  readonly postgres: Postgres
}

function barsOf(climbed: ReadonlyMap<string, Climbed>): Bar[] {
  const first = climbed.get('one node')
  const eight = climbed.get('eight nodes')
  const shares = rungs.slice(1).map(({ name, p50ShareMax }) => {
    const share = rounded((climbed.get(name)?.p50Ms ?? Infinity) / (first?.p50Ms ?? 0))
    return atMost(`${name}: P50 of a search, × one node`, share, p50ShareMax)
  })
  const failed = Math.max(...[...climbed.values()].map(({ failedShare }) => failedShare))
  return [
    ...shares,
    atLeast('eight nodes: chats a second, × one node', rounded((eight?.chatsPerSecond ?? 0) / (first?.chatsPerSecond ?? Infinity)), 6),
    atMost('failed searches, worst rung', failed, 0.001),
  ]
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const postgres = await stage.service(startPooledPostgres({ poolSize: 10 }))
    await fill(stage, postgres, options)
    const herd = await createHerd({ nodes: 8, embedMsPerItem: embedMs, numParallel: slots })
    await stage.service(Promise.resolve({ stop: () => herd.close() }))
    const climbed = new Map<string, Climbed>()
    for (const rung of rungs) climbed.set(rung.name, await climb(stage, rung, { options, ports: portsOf(herd), postgres }))
    return benchResult('plan', options, { bars: barsOf(climbed), data: Object.fromEntries(climbed) })
  })
}
