/**
 * What `corral tune` finds on 20,000 real vectors (`harness/search-vectors.ts`) on Postgres, of MiniLM from `--vectors FILE` or of a model of a
 * real Ollama (`--ollama URL --embed-model NAME`): every way of the grid with its recall, latency, build time and size, asked with real questions
 * for ten results. The bar is the choice against pgvector's defaults (HNSW 16, 64, 40): 10 % faster at no less recall, or the grid shows that
 * nothing is. It holds for any model.
 */
import { randomBytes } from 'node:crypto'

import { systemClock } from '../src/base/clock.ts'
import { describeIndex } from '../src/search/plan.ts'
import { tuneVectors, type TuneResult } from '../src/search/tune.ts'
import { hasPostgres } from '../test/support/postgres.ts'
import { hasVectors } from './harness/bench-vectors.ts'
import { openBenchStore } from './harness/retrieval-index.ts'
import { atLeast, type Bar, benchResult, type BenchOptions, type BenchResult, rounded } from './harness/result.ts'
import { fillCollection, liveSet } from './harness/search-corpus.ts'
import { readSearchVectors } from './harness/search-vectors.ts'

const size = 20_000
const quickSize = 2_000
const questionCount = 200
/** Of the answer: what pgvector's own benchmarks ask. */
const depth = 10

function barsOf({ baseline, choice, rows }: TuneResult): Bar[] {
  const good = rows.filter(({ recall }) => recall >= baseline.recall)
  const fastestMs = Math.min(...good.map(({ p50Ms }) => p50Ms))
  const isProvenBest = fastestMs > baseline.p50Ms * 0.9
  const gain = rounded((1 - choice.p50Ms / baseline.p50Ms) * 100)
  return [
    isProvenBest
      ? atLeast('nothing of the grid is 10 % faster at that recall: ways tried', rows.length, 20)
      : atLeast('% faster than the defaults', gain, 10),
    atLeast('recall@10 of the choice less that of the defaults', rounded(choice.recall - baseline.recall), -0.001),
  ]
}

function shown({ rows }: TuneResult): Record<string, unknown> {
  return Object.fromEntries(
    rows.map(({ index, recall, p50Ms, p95Ms, buildMs, sizeBytes }) => [
      describeIndex(index),
      {
        recall: rounded(recall),
        p50Ms: rounded(p50Ms),
        p95Ms: rounded(p95Ms),
        buildMs: Math.round(buildMs),
        sizeMb: rounded(sizeBytes / 1e6),
      },
    ]),
  )
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const { dataPath, isQuick, log } = options
  if (dataPath === undefined || !hasVectors(options) || !hasPostgres()) {
    log('needs --data PATH, --vectors FILE (made by bench/harness/search-vectors.ts) or --ollama URL, and Postgres: nothing measured')
    return benchResult('tune', options, { bars: [], data: {} })
  }
  const counts = { texts: isQuick ? quickSize : size, questions: questionCount }
  const { corpus, questions: asked } = await readSearchVectors({ ...options, dataPath }, counts)
  const store = await openBenchStore('postgres')
  try {
    await fillCollection(store.database, corpus)
    log(`${corpus.vectors.length} vectors written`)
    const questions = asked.map(({ vector }) => vector)
    const deps = { database: store.database, clock: systemClock, newSuffix: () => randomBytes(4).toString('hex') }
    const result = await tuneVectors({ set: await liveSet(store.database), questions, depth, report: log }, deps)
    const data = {
      embedder: corpus.embedder.model,
      dimensions: corpus.vectors[0]?.length ?? 0,
      vectors: corpus.vectors.length,
      questions: result.questions,
      choice: describeIndex(result.choice.index),
      why: result.why,
      ...shown(result),
    }
    return benchResult('tune', options, { bars: barsOf(result), data })
  } finally {
    await store.close()
  }
}
