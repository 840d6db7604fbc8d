/**
 * What fusing the two legs is worth: nDCG@10 on the public sets (`--data PATH`) of each leg, of their convex sum at the default weight and at
 * weights learned on the other half of the queries, and of reciprocal ranks beside. Vectors are those of MiniLM (int8) and are kept in files
 * whose names begin with `--vectors FILE`; they are made at the first run, from the model in `PATH/../models`.
 */
import { join } from 'node:path'

import { learnWeight, type JudgedQuery } from '../src/search/fuse-learn.ts'
import { defaultFusionWeight, fuse, fuseRanks, type FusedHit, type LegHit } from '../src/search/fuse.ts'
import { BenchCollection, type OpenBenchStore, openBenchStore } from './harness/retrieval-index.ts'
import { mean, ndcg, readSet, type RetrievalSet } from './harness/retrieval-sets.ts'
import { atLeast, atMost, type Bar, benchResult, type BenchOptions, type BenchResult, rounded } from './harness/result.ts'
import { continueVectors, openEmbedder, readVectors } from './harness/search-vectors.ts'

/** nDCG@10 at the default weight; sets in another language than the embedder's have no bar but the learned weight's. */
const bars: Readonly<Record<string, number>> = { 'anthropic-docs': 0.8, cacm: 0.57, cranfield: 0.43 }
const sets = ['anthropic-docs', 'cacm', 'cranfield', 'xquad-en', 'xquad-ru', 'xquad-zh']
const quickSets = ['anthropic-docs']
const depth = 100
const lossMax = 0.005

interface Paths {
  readonly dataPath: string
  readonly vectorsPath: string
}

async function vectorsOf(texts: readonly string[], path: string, { dataPath }: Paths): Promise<Float32Array[]> {
  if ((await readVectors(path, texts.length)).length < texts.length) {
    await continueVectors(path, texts, { embedder: await openEmbedder(join(dataPath, '../models')), untilMs: Number.POSITIVE_INFINITY })
  }
  return readVectors(path, texts.length)
}

function nearest(asked: Float32Array, documents: readonly { readonly id: string; readonly vector: Float32Array }[]): LegHit[] {
  return documents
    .map(({ id, vector }) => ({ key: id, score: asked.reduce((sum, value, at) => sum + value * (vector[at] ?? 0), 0) }))
    .toSorted((a, b) => b.score - a.score)
    .slice(0, depth)
}

async function judge(store: OpenBenchStore, set: RetrievalSet, paths: Paths): Promise<JudgedQuery[]> {
  const collection = new BenchCollection(store.database, set.name)
  await collection.create('auto')
  await collection.addDocuments(set.documents)
  const file = `${paths.vectorsPath}.${set.name}`
  const vectors = await vectorsOf(
    set.documents.map(({ text }) => text),
    `${file}.documents`,
    paths,
  )
  const documents = set.documents.map(({ id }, at) => ({ id, vector: vectors[at] ?? new Float32Array() }))
  const asked = await vectorsOf(
    set.queries.map(({ text }) => text),
    `${file}.queries`,
    paths,
  )
  const judged: JudgedQuery[] = []
  for (const [at, { id, text }] of set.queries.entries()) {
    const ids = await collection.find(text, 'auto')
    const { hits } = await collection.ask(text, { language: 'auto', limit: depth })
    const keyword = hits.map((hit, place) => ({ key: ids[place] ?? '', score: hit.score }))
    judged.push({
      legs: { keyword, vector: nearest(asked[at] ?? new Float32Array(), documents) },
      relevant: set.relevant.get(id) ?? new Set(),
    })
  }
  return judged
}

function score(queries: readonly JudgedQuery[], rank: (query: JudgedQuery) => readonly FusedHit[]): number {
  return mean(
    queries.map((query) =>
      ndcg(
        rank(query).map(({ key }) => key),
        query.relevant,
      ),
    ),
  )
}

const atWeight = (weight: number) => (query: JudgedQuery) => fuse(query.legs, () => weight)

/** Learned on every second query, reported on the others. */
function learnedHalf(queries: readonly JudgedQuery[]): { readonly weight: number; readonly ndcg: number; readonly loss: number } {
  const learnedOn = queries.filter((_, at) => at % 2 === 0)
  const reported = queries.filter((_, at) => at % 2 === 1)
  const weight = learnWeight(learnedOn)?.weight ?? defaultFusionWeight
  const reached = score(reported, atWeight(weight))
  return { weight, ndcg: reached, loss: Math.max(score(reported, atWeight(0)), score(reported, atWeight(1))) - reached }
}

function measure(name: string, queries: readonly JudgedQuery[]): { readonly bars: Bar[]; readonly figures: Record<string, number> } {
  const half = learnedHalf(queries)
  const hybrid = rounded(score(queries, atWeight(defaultFusionWeight)))
  const bar = bars[name]
  const figures = {
    keyword: score(queries, atWeight(0)),
    vector: score(queries, atWeight(1)),
    hybrid,
    reciprocalRanks: score(queries, ({ legs }) => fuseRanks(legs)),
    learnedWeight: half.weight,
    learnedHeldOut: half.ndcg,
    queries: queries.length,
  }
  return {
    bars: [
      ...(bar === undefined ? [] : [atLeast(`${name}: hybrid at the default weight, nDCG@10`, hybrid, bar)]),
      atMost(`${name}: learned weight, loss against the better leg on held-out queries`, rounded(half.loss), lossMax),
    ],
    figures: Object.fromEntries(Object.entries(figures).map(([key, value]) => [key, rounded(value)])),
  }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const { dataPath, vectorsPath, isQuick, only, log } = options
  if (dataPath === undefined || vectorsPath === undefined) {
    log('needs --data PATH and --vectors FILE: nothing measured')
    return benchResult('fusion', options, { bars: [], data: {} })
  }
  const store = await openBenchStore('embedded')
  try {
    const held: Bar[] = []
    const data: Record<string, unknown> = {}
    for (const name of isQuick ? quickSets : sets) {
      if (!name.includes(only)) continue
      const { bars: own, figures } = measure(name, await judge(store, await readSet(dataPath, name), { dataPath, vectorsPath }))
      held.push(...own)
      data[name] = figures
      log(`${name} done`)
    }
    return benchResult('fusion', options, { bars: held, data })
  } finally {
    await store.close()
  }
}
