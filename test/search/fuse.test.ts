// Fusion and the learning of its weight, by hand-made legs.
import { expect, test } from 'vitest'

import { withoutDuplicates } from '../../src/search/collapse.ts'
import { learnWeight } from '../../src/search/fuse-learn.ts'
import { fuse, fuseRanks, type LegHit, type Legs } from '../../src/search/fuse.ts'
import { orderOf } from '../../src/search/rerank.ts'
import { randomSequence } from '../../src/sim/hash.ts'

const hits = (...pairs: readonly (readonly [string, number])[]): LegHit[] => pairs.map(([key, score]) => ({ key, score }))

test('the score is the convex sum of scaled scores, and those of the legs stay as they were', () => {
  const fused = fuse({ keyword: hits(['a', 8], ['b', 4]), vector: hits(['b', 0.9], ['c', 0.5], ['d', 0.4]) }, () => 0.25)
  expect(fused.map(({ key }) => key)).toEqual(['a', 'b', 'c', 'd'])
  expect(fused.map(({ score }) => score)).toEqual([0.75, 0.375 + 0.25, expect.closeTo(0.05), 0])
  expect(fused[1]).toMatchObject({ keyword: 4, vector: 0.9 })
  expect(fused[0]).toMatchObject({ vector: null })
})

test('weights 0 and 1 are the legs alone', () => {
  const legs = { keyword: hits(['a', 3], ['b', 2]), vector: hits(['c', 0.8], ['b', 0.7], ['a', 0.1]) }
  expect(
    fuse(legs, () => 0)
      .map(({ key }) => key)
      .slice(0, 2),
  ).toEqual(['a', 'b'])
  expect(fuse(legs, () => 1).map(({ key }) => key)).toEqual(['c', 'b', 'a'])
})

test('a leg without hits, or with one, is no trouble', () => {
  expect(fuse({ keyword: [], vector: [] }, () => 0.5)).toEqual([])
  expect(fuse({ keyword: hits(['a', 2]), vector: hits(['a', 0.3]) }, () => 0.5)).toMatchObject([{ key: 'a', score: 1 }])
})

test('reciprocal ranks put first what both legs know', () => {
  const fused = fuseRanks({ keyword: hits(['a', 9], ['b', 8]), vector: hits(['b', 0.9], ['c', 0.8]) })
  expect(fused.map(({ key }) => key)).toEqual(['b', 'a', 'c'])
  expect(fuseRanks({ keyword: hits(['a', 1]), vector: hits(['a', 1]) })[0]?.score).toBeCloseTo(1)
})

/** Queries whose right answer one leg finds and the other does not. */
function judged(right: 'keyword' | 'vector', count: number): { legs: Legs; relevant: Set<string> }[] {
  const random = randomSequence(7)
  return Array.from({ length: count }, () => {
    const noise = (): LegHit[] => Array.from({ length: 20 }, (_, at) => ({ key: `n${Math.floor(random() * 200)}-${at}`, score: random() }))
    const sure = [{ key: 'right', score: 2 }, ...noise()]
    return {
      legs: right === 'keyword' ? { keyword: sure, vector: noise() } : { keyword: noise(), vector: sure },
      relevant: new Set(['right']),
    }
  })
}

test('learns to leave out a leg that only does harm', () => {
  expect(learnWeight(judged('keyword', 20))?.weight).toBeLessThan(0.5)
  expect(learnWeight(judged('vector', 20))?.weight).toBeGreaterThan(0.5)
  expect(learnWeight(judged('vector', 20))?.crossValidatedLoss).toBeLessThanOrEqual(0)
})

test('learns nothing from queries without a right answer', () => {
  expect(learnWeight([])).toBeNull()
  expect(learnWeight([{ legs: { keyword: [], vector: [] }, relevant: new Set() }])).toBeNull()
})

test('tries every weight from 0 to 1', () => {
  const grid = learnWeight(judged('keyword', 3))?.grid ?? []
  expect([grid.length, grid[0]?.weight, grid.at(-1)?.weight]).toEqual([21, 0, 1])
})

test('near-duplicates go, short texts only when equal', () => {
  const text = 'one two three four five six seven eight nine ten'
  const candidates = [
    { hash: '1', text },
    { hash: '2', text: `${text} eleven` },
    { hash: '3', text: 'yes no' },
    { hash: '4', text: 'no yes' },
    { hash: '3', text: 'yes no' },
  ]
  expect(withoutDuplicates(candidates, 10).map(({ hash }) => hash)).toEqual(['1', '3', '4'])
  expect(withoutDuplicates(candidates, 1)).toHaveLength(1)
})

test('the order of a model is taken by its numbers, each place once, unknown ones passed by', () => {
  expect(orderOf('[2], 2 and 9, then 1.', 3)).toEqual([1, 0, 2])
  expect(orderOf('none', 3)).toBeNull()
})
