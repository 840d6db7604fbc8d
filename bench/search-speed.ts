/**
 * How fast and how exact searches are in a large collection: 100,000 chunks of 384 dimensions on Postgres, 20,000 on the embedded store, one
 * search after another in this process, warm, with the query's vector at hand as from the cache. Texts and vectors are real
 * (`harness/search-vectors.ts`): of MiniLM, from `--vectors FILE`, made beforehand, and fewer chunks are measured where it holds fewer; or of a
 * model of a real Ollama (`--ollama URL --embed-model NAME`), with its own dimension. Recall is against comparing with every vector by hand, exactness of the keyword leg against scoring every text by hand.
 */
import { systemClock } from '../src/base/clock.ts'
import { MeasuredCost } from '../src/search/measured-cost.ts'
import { searchKeyword } from '../src/search/keyword.ts'
import { searchVectors } from '../src/search/vector.ts'
import type { Database } from '../src/store/database.ts'
import { scoredByHand } from '../test/search/keyword-corpus.ts'
import { hasPostgres } from '../test/support/postgres.ts'
import { hasVectors, setForMiniLm } from './harness/bench-vectors.ts'
import { type BenchStore, openBenchStore } from './harness/retrieval-index.ts'
import { mean } from './harness/retrieval-sets.ts'
import { atLeast, atMost, type Bar, benchResult, type BenchOptions, type BenchResult, rounded } from './harness/result.ts'
import {
  bucketOf,
  buildDueIndex,
  buckets,
  collectionId,
  fillCollection,
  liveSet,
  nearestByHand,
  type SearchCorpus,
  searcher,
  sharedShare,
  tenant,
} from './harness/search-corpus.ts'
import { type Asked, readSearchVectors } from './harness/search-vectors.ts'

const sizes = { postgres: 100_000, embedded: 20_000 } as const
const quickSize = 2_000
const queryCount = 300
const warmUps = 60
const recallQueries = 60
const handQueries = 4

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return rounded(sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0)
}

interface Part {
  readonly bars: readonly Bar[]
  readonly data: Record<string, unknown>
}

interface Measured {
  readonly asked: readonly Asked[]
  readonly corpus: SearchCorpus
}

async function measureSpeed(database: Database, kind: BenchStore, { asked, corpus }: Measured): Promise<Part> {
  const vectorOf = new Map(asked.map(({ text, vector }) => [text, vector]))
  const find = searcher(database, { vectorOf, digest: corpus.embedder.digest })
  for (const { text } of asked.slice(0, warmUps)) await find(text)
  const times: Record<string, number[]> = { total: [], keyword: [], vector: [], fuse: [], filtered: [] }
  for (const [at, { text }] of asked.entries()) {
    const { timings } = await find(text)
    times['total']?.push(timings.totalMs)
    times['keyword']?.push(timings.keywordMs)
    times['vector']?.push(timings.vectorMs)
    times['fuse']?.push(timings.fuseMs)
    const filtered = await find(text, { filter: [{ field: 'bucket', op: 'eq', value: at % buckets }] })
    times['filtered']?.push(filtered.timings.totalMs)
  }
  const data = Object.fromEntries(
    Object.entries(times).map(([name, list]) => [name, { p50Ms: percentile(list, 0.5), p95Ms: percentile(list, 0.95) }]),
  )
  const total = times['total'] ?? []
  const p95 = atMost(`${kind}: hybrid search, P95 ms`, percentile(total, 0.95), 90)
  const why = (await find(asked[0]?.text ?? '', { explain: true })).explain
  return {
    bars: kind === 'postgres' ? [atMost(`${kind}: hybrid search, P50 ms`, percentile(total, 0.5), 45), p95] : [p95],
    data: { ...data, why },
  }
}

/** Told at once: what follows compares by hand and takes minutes. */
async function speedTold(database: Database, kind: BenchStore, { log, ...measured }: Measured & Pick<BenchOptions, 'log'>): Promise<Part> {
  const part = await measureSpeed(database, kind, measured)
  log(`${kind}: ${JSON.stringify(part.data)}`)
  return part
}

async function measureRecall(database: Database, kind: BenchStore, { asked, corpus }: Measured): Promise<Part> {
  const set = await liveSet(database)
  const deps = { store: database.kind, costs: new MeasuredCost(), clock: systemClock }
  const whole: number[] = []
  const filtered: number[] = []
  for (const [at, { vector }] of asked.slice(0, recallQueries).entries()) {
    const find = async (allowed: ReadonlySet<number> | null): Promise<number[]> => {
      const query = { set, vector, limit: 100, allowed, wanted: null }
      const { hits } = await database.tx({ tenant }, (transaction) => searchVectors(transaction, query, deps), { readOnly: true })
      return hits.slice(0, 10).map(({ number }) => number)
    }
    const isAllowed = (number: number): boolean => bucketOf(number) === at % buckets
    whole.push(sharedShare(await find(null), nearestByHand(corpus.vectors, vector, { limit: 10 })))
    const allowed = new Set(Array.from(corpus.vectors.keys()).filter(isAllowed))
    filtered.push(sharedShare(await find(allowed), nearestByHand(corpus.vectors, vector, { limit: 10, isAllowed })))
  }
  return {
    bars: [
      atLeast(`${kind}: vectors, recall@10`, rounded(mean(whole)), 0.97),
      atLeast(`${kind}: vectors under a 1 % filter, recall@10`, rounded(mean(filtered)), 0.97),
    ],
    data: {},
  }
}

async function measureExactness(database: Database, kind: BenchStore, { asked, corpus }: Measured): Promise<Part> {
  const texts = new Map(corpus.texts.map((text, number) => [number, text]))
  const shares: number[] = []
  for (const { text } of asked.slice(0, handQueries)) {
    const query = { tenant, collection: { id: collectionId }, query: text, language: 'en', limit: 10, allowed: null }
    const { hits } = await database.tx({ tenant }, (transaction) => searchKeyword(transaction, query))
    const scores = scoredByHand(texts, text)
    const tenth = [...scores.values()].toSorted((a, b) => b - a)[9] ?? 0
    // Chunks of one score are as good as each other.
    shares.push(hits.filter(({ number }) => (scores.get(number) ?? 0) >= tenth - 1e-6).length / Math.min(10, scores.size))
  }
  return { bars: [atLeast(`${kind}: words, exactness of the first ten`, rounded(mean(shares)), 0.99)], data: {} }
}

async function measureStore(kind: BenchStore, { asked, corpus, ...options }: Measured & BenchOptions): Promise<Part> {
  const { log } = options
  const store = await openBenchStore(kind)
  try {
    const { database } = store
    const startedMs = systemClock.nowMs()
    await fillCollection(database, corpus)
    const filledMs = systemClock.nowMs()
    log(`${kind}: ${corpus.vectors.length} chunks written in ${Math.round((filledMs - startedMs) / 1_000)} s`)
    await buildDueIndex(database)
    const indexMs = systemClock.nowMs() - filledMs
    log(`${kind}: index in ${Math.round(indexMs / 1_000)} s`)
    const speed = await speedTold(database, kind, { asked, corpus, log })
    const recall = await measureRecall(database, kind, { asked, corpus })
    const exactness = await measureExactness(database, kind, { asked, corpus })
    const data = {
      embedder: corpus.embedder.model,
      dimensions: corpus.vectors[0]?.length ?? 0,
      chunks: corpus.vectors.length,
      writeMs: Math.round(filledMs - startedMs),
      indexMs: Math.round(indexMs),
      ...speed.data,
    }
    return { bars: [...setForMiniLm([...speed.bars, ...recall.bars], options), ...exactness.bars], data: { [kind]: data } }
  } finally {
    await store.close()
  }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const { dataPath, only, isQuick, log } = options
  const kinds = (['postgres', 'embedded'] as const).filter((kind) => kind.includes(only) && (kind === 'embedded' || hasPostgres()))
  if (dataPath === undefined || !hasVectors(options) || kinds.length === 0) {
    log('needs --data PATH, and --vectors FILE (made by bench/harness/search-vectors.ts) or --ollama URL: nothing measured')
    return benchResult('search-speed', options, { bars: [], data: {} })
  }
  const sizeOf = (kind: BenchStore): number => (isQuick ? quickSize : sizes[kind])
  const counts = { texts: Math.max(...kinds.map(sizeOf)), questions: isQuick ? warmUps : queryCount }
  const { corpus, questions: asked } = await readSearchVectors({ ...options, dataPath }, counts)
  const bars: Bar[] = []
  const data: Record<string, unknown> = {}
  for (const kind of kinds) {
    const [texts, vectors] = [corpus.texts.slice(0, sizeOf(kind)), corpus.vectors.slice(0, sizeOf(kind))]
    const part = await measureStore(kind, { ...options, asked, corpus: { ...corpus, texts, vectors } })
    bars.push(...part.bars)
    Object.assign(data, part.data)
  }
  return benchResult('search-speed', options, { bars, data })
}
