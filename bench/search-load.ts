/**
 * Searches by many at once through the whole gateway (`/rag/search`, hybrid, on Postgres): 100 and 1,000 users who read for a second between two
 * searches, then a rising rate of arrivals, with 40 % of the searches asked before; at last as many repeats a second as it gives. Documents come in
 * through `/rag` too; simulated nodes embed them. Every new search is embedded, looked up by words and vectors, and fused.
 */
import { systemClock } from '../src/base/clock.ts'
import { createHerd } from '../src/sim/herd.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atLeast, atMost, benchResult, type BenchOptions, type BenchResult, rounded } from './harness/result.ts'
import type { LoadWindow } from './harness/load-spec.ts'
import { startPooledPostgres } from './harness/services.ts'
import { type LoadDriver, onStage } from './harness/stage.ts'
import { topicWords, type WorkloadSpec } from './harness/workload.ts'
import { seededRandom } from './harness/zipf.ts'

const topics = 500
const documents = { full: 2_000, quick: 200 }
const sectionsPerDocument = 5
const filesPerRequest = 50
const repeatShare = 0.4
const rates = [50, 100, 200, 400, 800]
const embedder = 'nomic-embed-text'

interface Phase {
  readonly name: string
  readonly connections: number
  readonly rate: number
  readonly thinkMs: number
  readonly repeatShare: number
  readonly seconds: number
  readonly seed: number
}

async function mustBeOk(answer: Response): Promise<void> {
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status} ${await answer.text()}`)
  await answer.arrayBuffer()
}

/** Makes the collection and waits until all its documents can be found. */
async function fill(url: string, count: number): Promise<void> {
  const json = { 'content-type': 'application/json' }
  const body = JSON.stringify({ name: 'bench', settings: { embedder } })
  const make = (): Promise<Response> => fetch(`${url}/rag/collections`, { method: 'POST', headers: json, body })
  let made = await make()
  // The database is still being prepared.
  while (made.status === 503) {
    await systemClock.sleep(250)
    made = await make()
  }
  await mustBeOk(made)
  const random = seededRandom(3)
  for (let first = 0; first < count; first += filesPerRequest) {
    const form = new FormData()
    for (let at = first; at < Math.min(first + filesPerRequest, count); at += 1) {
      const sections = Array.from(
        { length: sectionsPerDocument },
        (_, part) => `## Part ${part}\n\n${topicWords(at % topics, random, 160)}`,
      )
      form.append('files', new Blob([`# Document ${at}\n\n${sections.join('\n\n')}`]), `${at}.md`)
    }
    await mustBeOk(await fetch(`${url}/rag/collections/bench/documents`, { method: 'POST', body: form }))
  }
  for (;;) {
    const found: unknown = await (await fetch(`${url}/rag/collections/bench`)).json()
    if (typeof found === 'object' && found !== null && 'documents' in found && found.documents === count) return
    await systemClock.sleep(250)
  }
}

/** Waits for upkeep: a large collection is first compared vector by vector, until its index is there. */
async function untilIndexed(url: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ collection: 'bench', query: 'w1 w2', explain: true })
  for (;;) {
    const answer = await fetch(`${url}/rag/search`, { method: 'POST', headers, body })
    if (!(await answer.text()).includes('no index yet')) return
    await systemClock.sleep(1_000)
  }
}

interface Measured {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly failedShare: number
  readonly hitShare: number
  readonly kinds: Readonly<Record<string, number>>
}

function measured(window: LoadWindow): Measured {
  const { okPerSecond, failedShare, kinds, ok } = outcomeOf([window])
  const latency = window.latencyMs['ok']
  const hits = window.cache['hit']?.count ?? 0
  return {
    perSecond: rounded(okPerSecond),
    p50Ms: rounded(latency?.p50 ?? 0),
    p95Ms: rounded(latency?.p95 ?? 0),
    failedShare: rounded(failedShare),
    hitShare: rounded(hits / Math.max(1, ok)),
    kinds,
  }
}

async function play(driver: LoadDriver, port: number, phase: Phase): Promise<Measured> {
  const workload: WorkloadSpec = { kind: 'searches', seed: phase.seed, requests: 10_000_000, topics, repeatShare: phase.repeatShare }
  const { connections, rate, thinkMs } = phase
  await driver.start({ port, path: '/rag/search', connections, rate, thinkMs, rampMs: 1_000, timeoutMs: 30_000, body: '{}', workload })
  await systemClock.sleep(2_000)
  await driver.mark()
  await systemClock.sleep(phase.seconds * 1_000)
  const window = await driver.mark()
  await driver.finish(5_000)
  return measured(window)
}

/** Seeds differ, so that what is new in one phase is new; repeats alone stay within one closed set. */
function phasesOf(isQuick: boolean): Phase[] {
  const seconds = isQuick ? 4 : 15
  const users = [100, 1_000].map((connections, seed): Phase => {
    return { name: `${connections} users`, connections, rate: 0, thinkMs: 1_000, repeatShare, seconds, seed }
  })
  const rising = rates.map((rate, at): Phase => {
    return { name: `${rate} a second`, connections: 512, rate, thinkMs: 0, repeatShare, seconds: isQuick ? 3 : 8, seed: 10 + at }
  })
  const closed = { connections: 64, rate: 0, thinkMs: 0, repeatShare: 1, seed: 1 }
  return [...users, ...rising, { name: 'closed set, first time', ...closed, seconds }, { name: 'repeats alone', ...closed, seconds }]
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const postgres = await stage.service(startPooledPostgres({ poolSize: 10 }))
    const herd = await createHerd({ nodes: 8, speed: 1_000, embedMsPerItem: 1 })
    await stage.service(Promise.resolve({ stop: () => herd.close() }))
    const ports = herd.nodes.map(({ url }) => Number(new URL(url).port))
    const env = {
      CORRAL_STORE__ENABLED: 'true',
      DATABASE_URL: postgres.pooledUrl,
      CORRAL_SECRET: 'a secret of this bench, thirty-two characters',
    }
    const { port } = await stage.gateway(ports, { env })
    await fill(`http://127.0.0.1:${port}`, options.isQuick ? documents.quick : documents.full)
    await untilIndexed(`http://127.0.0.1:${port}`)
    const driver = await stage.driver()
    const data: Record<string, Measured> = {}
    for (const phase of phasesOf(options.isQuick)) data[phase.name] = await play(driver, port, phase)
    const of = (name: string): Measured => data[name] ?? measuredNothing
    return benchResult('search-load', options, {
      bars: [
        atMost('100 users: P95 ms', of('100 users').p95Ms, 90),
        atMost('100 users: failed', of('100 users').failedShare, 0.001),
        atMost('1,000 users: failed', of('1000 users').failedShare, 0.001),
        atLeast('repeats alone: searches a second', of('repeats alone').perSecond, 1_000),
        atMost('repeats alone: failed', of('repeats alone').failedShare, 0.001),
      ],
      data: { ...data },
    })
  })
}

const measuredNothing: Measured = { perSecond: 0, p50Ms: Infinity, p95Ms: Infinity, failedShare: 1, hitShare: 0, kinds: {} }
