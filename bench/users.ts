/**
 * People at work: 10, 100, 1,000 of them who chat (60 %), search (25 %) and embed (15 %), each with one request at a time and a pause to read
 * after each answer, over eight simulated nodes and Postgres. What the gateway adds to a chat or an embedding is told against a
 * bare proxy before the same nodes with the same users; a search is all gateway, but for its embedding.
 */
import { systemClock } from '../src/base/clock.ts'
import { embedder, fillCollection } from './harness/bench-collection.ts'
import { type Summary, summaryOf } from './harness/outcome.ts'
import { atMost, benchResult, type BenchOptions, type BenchResult, rounded } from './harness/result.ts'
import { type LoadDriver, onStage } from './harness/stage.ts'
import { storedGateway } from './harness/stored-gateway.ts'

const crowds = [10, 100, 1_000]
const thinkMs = 5_000
const size = { topics: 200, full: 400, quick: 100 }
/** Of ten users. */
const shares = { chat: 0.6, search: 0.25, embed: 0.15 }
type Kind = keyof typeof shares
/** The bare proxy knows no documents. */
const proxied: readonly Kind[] = ['chat', 'embed']

const messages = [{ role: 'user', content: '######## How many head of cattle stand in the north pasture tonight?' }]
const calls = {
  chat: { path: '/api/chat', body: JSON.stringify({ model: 'llama3.2:3b', messages, options: { num_predict: 24 } }) },
  embed: { path: '/api/embed', body: JSON.stringify({ model: embedder, input: ['######## a head of cattle', 'a bale of hay'] }) },
  search: { path: '/rag/search', body: '{}' },
} as const

interface Crowd {
  readonly port: number
  readonly users: number
  readonly kinds: readonly Kind[]
  readonly seconds: number
}

/** One window of a crowd, by what its people do. */
async function play(drivers: Readonly<Record<Kind, LoadDriver>>, { port, users, kinds, seconds }: Crowd): Promise<Map<Kind, Summary>> {
  for (const kind of kinds) {
    const connections = Math.max(1, Math.round(users * shares[kind]))
    const workload = { kind: 'searches', seed: users, requests: 10_000_000, topics: size.topics, repeatShare: 0.4 } as const
    const spec = { port, ...calls[kind], connections, thinkMs, rampMs: thinkMs, timeoutMs: 60_000 }
    await drivers[kind].start(kind === 'search' ? { ...spec, workload } : spec)
  }
  await systemClock.sleep(thinkMs)
  for (const kind of kinds) await drivers[kind].mark()
  await systemClock.sleep(seconds * 1_000)
  const windows = new Map<Kind, Summary>()
  for (const kind of kinds) windows.set(kind, summaryOf(await drivers[kind].mark()))
  for (const kind of kinds) await drivers[kind].finish(60_000)
  return windows
}

function failedShareOf(windows: ReadonlyMap<Kind, Summary>): number {
  const all = [...windows.values()]
  const requests = all.reduce((sum, one) => sum + one.requests, 0)
  return all.reduce((sum, one) => sum + one.failedShare * one.requests, 0) / Math.max(1, requests)
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const slots = { CORRAL_FLEET__ADMISSION__SLOTS_ASSUMED: '16' }
    const { gateway, ports } = await storedGateway(stage, { speed: 5, numParallel: 16, embedMsPerItem: 5 }, slots)
    await fillCollection(`http://127.0.0.1:${gateway.port}`, { documents: options.isQuick ? size.quick : size.full, topics: size.topics })
    const bare = await stage.bare(ports)
    const drivers = { chat: await stage.driver(), search: await stage.driver(), embed: await stage.driver() }
    const seconds = options.isQuick ? 6 : 30
    const data: Record<string, unknown> = {}
    const failed: number[] = []
    const added: Partial<Record<Kind, number>> = {}
    for (const users of crowds) {
      const reference = await play(drivers, { port: bare.port, users, kinds: proxied, seconds })
      const through = await play(drivers, { port: gateway.port, users, kinds: ['chat', 'search', 'embed'], seconds })
      options.log(`${users} users: chat P95 ${through.get('chat')?.p95Ms} ms, bare ${reference.get('chat')?.p95Ms} ms`)
      data[`${users} users`] = { through: Object.fromEntries(through), bare: Object.fromEntries(reference) }
      failed.push(failedShareOf(through))
      if (users !== 100) continue
      const own = (kind: Kind, of: Kind): number => rounded((through.get(kind)?.p95Ms ?? Infinity) - (reference.get(of)?.p95Ms ?? 0))
      Object.assign(added, { chat: own('chat', 'chat'), embed: own('embed', 'embed'), search: own('search', 'embed') })
    }
    const bars = [
      ...crowds.map((users, at) => atMost(`${users} users: failed`, rounded(failed[at] ?? 1), 0.001)),
      atMost('100 users: P95 that the gateway adds to a chat, ms', added.chat ?? Infinity, 10),
      atMost('100 users: P95 that the gateway adds to an embedding, ms', added.embed ?? Infinity, 10),
    ]
    return benchResult('users', options, { bars, data: { ...data, searchP95WithoutEmbeddingMs: added.search } })
  })
}
