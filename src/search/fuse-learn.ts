/**
 * Learns the share of the vector leg from queries whose right answers are known (`corral tune --judged`). Every weight of the grid is tried,
 * 0 and 1 among them, so that a leg which only does harm can be left out. What the choice is worth on other queries is estimated by
 * cross-validation.
 */
import { fuse, type Legs } from './fuse.ts'

export interface JudgedQuery {
  readonly legs: Legs
  /** Keys of what should be found, or of the documents; queries without any are left out. */
  readonly relevant: ReadonlySet<string>
  /** The document of each key, which counts where its first chunk stands. Left out: a key is what is judged. */
  readonly documents?: ReadonlyMap<string, string>
}

export interface LearnedWeight {
  readonly weight: number
  /** nDCG@10 at that weight over all queries. */
  readonly ndcg: number
  /**
   * By how much weights that were learned on other folds fall short of the better single leg, in nDCG@10 over held-out queries; negative when
   * they are better than it.
   */
  readonly crossValidatedLoss: number
  /** nDCG@10 by weight. */
  readonly grid: readonly { readonly weight: number; readonly ndcg: number }[]
}

const gridSteps = 20
const depth = 10
/** Of scores this near the middle one is taken: a peak of few queries is chance. */
const plateau = 0.002

/** nDCG@10 of a ranking, judged yes or no. */
function ndcgOf(keys: readonly string[], relevant: ReadonlySet<string>): number {
  const gain = (place: number): number => 1 / Math.log2(place + 2)
  const found = keys.slice(0, depth).reduce((sum, key, place) => (relevant.has(key) ? sum + gain(place) : sum), 0)
  let ideal = 0
  for (let place = 0; place < Math.min(depth, relevant.size); place += 1) ideal += gain(place)
  return found / ideal
}

const weights = Array.from({ length: gridSteps + 1 }, (_, step) => step / gridSteps)

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1)
}

/** nDCG of one query at every weight of the grid. */
function gridOf({ legs, relevant, documents }: JudgedQuery): number[] {
  return weights.map((weight) => {
    const ranked = fuse(legs, () => weight).map(({ key }) => documents?.get(key) ?? key)
    return ndcgOf([...new Set(ranked)], relevant)
  })
}

/** Place in the grid of the best weight: the middle of those that are as good. */
function bestOf(rows: readonly (readonly number[])[]): number {
  const means = weights.map((_, at) => mean(rows.map((row) => row[at] ?? 0)))
  const best = Math.max(...means)
  const good = weights.flatMap((_, at) => ((means[at] ?? 0) >= best - plateau ? [at] : []))
  return good[Math.floor((good.length - 1) / 2)] ?? 0
}

/** Null without a query that has a right answer. `folds` is at most the number of queries. */
export function learnWeight(queries: readonly JudgedQuery[], folds = 5): LearnedWeight | null {
  const rows = queries.filter(({ relevant }) => relevant.size > 0).map(gridOf)
  if (rows.length === 0) return null
  const at = bestOf(rows)
  const grid = weights.map((weight, place) => ({ weight, ndcg: mean(rows.map((row) => row[place] ?? 0)) }))
  return { weight: weights[at] ?? 0, ndcg: grid[at]?.ndcg ?? 0, crossValidatedLoss: heldOutLoss(rows, Math.min(folds, rows.length)), grid }
}

function heldOutLoss(rows: readonly (readonly number[])[], folds: number): number {
  const heldOut = rows.map((row, index) => {
    const others = rows.filter((_, other) => other % folds !== index % folds)
    return row[bestOf(others.length === 0 ? rows : others)] ?? 0
  })
  const ofLeg = (place: number): number => mean(rows.map((row) => row[place] ?? 0))
  return Math.max(ofLeg(0), ofLeg(gridSteps)) - mean(heldOut)
}
