/** How good rankings are: of each leg, of both fused, and of two stores against each other. */
import { type JudgedQuery, learnWeight } from '../../src/search/fuse-learn.ts'
import { defaultFusionWeight, fuse, type FusedHit, fuseRanks } from '../../src/search/fuse.ts'
import { atLeast, atMost, type Bar, rounded } from './result.ts'
import { mean, ndcg, recall } from './retrieval-sets.ts'

/**
 * nDCG@10 that each set must reach; hybrid at the default weight, where the embedder knows the language. Where it does not, the learned weight of its
 * vectors must be next to nothing.
 */
const setBars: Readonly<Record<string, { readonly keyword: number; readonly hybrid?: number; readonly weightMax?: number }>> = {
  'anthropic-docs': { keyword: 0.735, hybrid: 0.8 },
  cacm: { keyword: 0.48, hybrid: 0.57 },
  cranfield: { keyword: 0.38, hybrid: 0.43 },
  'xquad-en': { keyword: 0.96 },
  'xquad-ru': { keyword: 0.95, weightMax: 0.2 },
  'xquad-zh': { keyword: 0.95, weightMax: 0.2 },
}
/** nDCG@10 that a learned weight may lose against the better leg. */
const lossMax = 0.005
const overlapDepth = 10

export const setNames = Object.keys(setBars)

export interface Figures {
  readonly bars: readonly Bar[]
  readonly data: Record<string, number>
}

export function idsOf(hits: readonly { readonly key: string }[]): string[] {
  return hits.map(({ key }) => key)
}

export function keywordFigures(name: string, queries: readonly JudgedQuery[]): Figures {
  const score = rounded(mean(queries.map(({ legs, relevant }) => ndcg(idsOf(legs.keyword), relevant))))
  const recall100 = rounded(mean(queries.map(({ legs, relevant }) => recall(idsOf(legs.keyword), relevant))))
  return {
    bars: [atLeast(`${name}, keyword, nDCG@10`, score, setBars[name]?.keyword ?? 0)],
    data: { queries: queries.length, keyword: score, keywordRecall100: recall100 },
  }
}

export function hybridFigures(name: string, queries: readonly JudgedQuery[]): Figures {
  const half = learnedHalf(queries)
  const hybrid = rounded(scoreOf(queries, byDefault))
  const { hybrid: bar, weightMax } = setBars[name] ?? {}
  const data = {
    vector: scoreOf(queries, atWeight(1)),
    hybrid,
    reciprocalRanks: scoreOf(queries, ({ legs }) => fuseRanks(legs)),
    learnedWeight: half.weight,
    learnedHeldOut: half.ndcg,
  }
  return {
    bars: [
      ...(bar === undefined ? [] : [atLeast(`${name}, hybrid at the default weight, nDCG@10`, hybrid, bar)]),
      ...(weightMax === undefined ? [] : [atMost(`${name}, learned weight of the vectors`, rounded(half.weight), weightMax)]),
      atMost(`${name}, learned weight, loss against the better leg on held-out queries`, rounded(half.loss), lossMax),
    ],
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, rounded(value)])),
  }
}

type Rank = (query: JudgedQuery) => readonly FusedHit[]

const atWeight =
  (weight: number): Rank =>
  ({ legs }) =>
    fuse(legs, () => weight)

/** As a search at the default weight ranks. */
export const byDefault = atWeight(defaultFusionWeight)

function scoreOf(queries: readonly JudgedQuery[], rank: Rank): number {
  return mean(queries.map((query) => ndcg(idsOf(rank(query)), query.relevant)))
}

/** Learned on every second query, reported on the others. */
function learnedHalf(queries: readonly JudgedQuery[]): { readonly weight: number; readonly ndcg: number; readonly loss: number } {
  const learnedOn = queries.filter((_, at) => at % 2 === 0)
  const reported = queries.filter((_, at) => at % 2 === 1)
  const weight = learnWeight(learnedOn)?.weight ?? defaultFusionWeight
  const reached = scoreOf(reported, atWeight(weight))
  return { weight, ndcg: reached, loss: Math.max(scoreOf(reported, atWeight(0)), scoreOf(reported, atWeight(1))) - reached }
}

/** Rankings by name of the set, the ranking and the query. */
export type Rankings = ReadonlyMap<string, readonly string[]>

/** Two stores are held to the same answers. */
export function agreementBars(first: Rankings, second: Rankings): Bar[] {
  const pairs = [...first].map(([key, ids]) => [ids, second.get(key) ?? []] as const)
  const sameTop = mean(pairs.map(([a, b]) => (a[0] === b[0] ? 1 : 0)))
  const overlap = mean(pairs.map(([a, b]) => overlapOf(a.slice(0, overlapDepth), new Set(b.slice(0, overlapDepth)))))
  return [
    atLeast('embedded and Postgres, share of queries with the same first hit', rounded(sameTop), 0.95),
    atLeast('embedded and Postgres, overlap of the first ten', rounded(overlap), 0.95),
  ]
}

function overlapOf(ids: readonly string[], others: ReadonlySet<string>): number {
  return ids.length === 0 ? 1 - Math.sign(others.size) : ids.filter((id) => others.has(id)).length / ids.length
}
