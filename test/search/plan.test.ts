// Which way the planner takes, by counts and by what was measured.
import { expect, test } from 'vitest'

import { FilterMemory } from '../../src/search/filter-allowed.ts'
import { MeasuredCost } from '../../src/search/measured-cost.ts'
import { exactKey, indexKey, planVectors } from '../../src/search/plan.ts'
import type { VectorSet } from '../../src/search/vector/tables.ts'

const hnsw = { kind: 'hnsw', m: 16, efConstruction: 64, efSearch: 100 } as const
const set = (vectors: number, index: VectorSet['index'] = null): VectorSet => ({
  tenant: 't',
  collection: 'c',
  name: 'rag_vectors_0000000000000000_384',
  digest: 'd',
  dimensions: 384,
  storage: 'full',
  vectors,
  index,
  isLive: true,
})
const facts = { store: 'postgres', allowed: null, wanted: null } as const

test('compares with all while there is no index, and says that it lacks one when there are many', () => {
  expect(planVectors({ ...facts, set: set(4_999) }, new MeasuredCost())).toMatchObject({
    kind: 'exact',
    why: expect.not.stringContaining('no index'),
  })
  expect(planVectors({ ...facts, set: set(200_000) }, new MeasuredCost()).why).toContain('no index yet')
})

test('takes the index of a large collection, and compares with all of a small one', () => {
  expect(planVectors({ ...facts, set: set(100_000, hnsw) }, new MeasuredCost())).toMatchObject({ kind: 'index', index: hnsw })
  expect(planVectors({ ...facts, set: set(3_000, hnsw) }, new MeasuredCost()).kind).toBe('exact')
})

test('a selective filter is exact, a wide one goes by the index', () => {
  expect(planVectors({ ...facts, set: set(100_000, hnsw), allowed: 1_000 }, new MeasuredCost())).toMatchObject({
    kind: 'exact',
    why: expect.stringContaining('filter'),
  })
  expect(planVectors({ ...facts, set: set(100_000, hnsw), allowed: 60_000 }, new MeasuredCost()).kind).toBe('index')
})

test('follows what was measured', () => {
  const costs = new MeasuredCost()
  const large = set(100_000, hnsw)
  for (let turn = 0; turn < 60; turn += 1) {
    costs.add(exactKey(large), { tookMs: 20, units: 100_000, fallback: 0.0011 })
    costs.add(indexKey(large, hnsw), { tookMs: 40, units: 1, fallback: 5 })
  }
  expect(planVectors({ ...facts, set: large }, costs)).toMatchObject({ kind: 'exact', why: expect.stringContaining('by the index about') })
})

test('one stall does not turn a plan', () => {
  const costs = new MeasuredCost()
  costs.add('k', { tookMs: 10_000, units: 1, fallback: 5 })
  expect(costs.of('k', 5)).toBeLessThan(10)
})

test('goes by the setting of the collection: exact, or another width of search in the same index', () => {
  const large = set(100_000, hnsw)
  expect(planVectors({ ...facts, set: large, wanted: { kind: 'exact' } }, new MeasuredCost()).kind).toBe('exact')
  expect(planVectors({ ...facts, set: large, wanted: { ...hnsw, efSearch: 200 } }, new MeasuredCost())).toMatchObject({
    index: { m: 16, efSearch: 200 },
  })
})

test('remembered filters and costs are bounded', () => {
  const costs = new MeasuredCost()
  for (let at = 0; at < 2_001; at += 1) costs.add(`k${at}`, { tookMs: 2, units: 1, fallback: 1 })
  expect([costs.of('k0', -1), costs.of('k2000', -1)]).toEqual([-1, expect.closeTo(1.2)])
  const filters = new FilterMemory()
  const many = new Set(Array.from({ length: 700_000 }, (_, at) => at))
  for (const key of ['a', 'b', 'c']) filters.put(key, many)
  expect([filters.get('a'), filters.get('c')?.size]).toEqual([undefined, 700_000])
})
