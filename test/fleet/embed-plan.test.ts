// How batches of embeddings are cut by the size of their answers.

import { describe, expect, test } from 'vitest'

import { planBatch, VectorSizes } from '../../src/fleet/embed-plan.ts'
import { makeRequest } from './requests.ts'

const request = (change: Readonly<Record<string, unknown>> = {}) => makeRequest('/v1/embeddings', { model: 'm', input: 'a', ...change })

describe('vector sizes', () => {
  test('are taken for the largest there are until an answer was seen, with a tenth to spare', () => {
    const sizes = new VectorSizes()
    expect(sizes.itemsMax(request(), 67_108_864)).toBe(546)
    sizes.note(request(), { bytes: 1_000, vectors: 10 })
    expect(sizes.itemsMax(request(), 67_108_864)).toBe(603_979)
    expect(sizes.itemsMax(request({ model: 'other' }), 67_108_864)).toBe(546)
  })

  test('are the largest seen, for each encoding of its own, and never what a client had shortened', () => {
    const sizes = new VectorSizes()
    sizes.note(request(), { bytes: 1_000, vectors: 1 })
    sizes.note(request(), { bytes: 500, vectors: 1 })
    sizes.note(request({ model: 'n', dimensions: 2 }), { bytes: 10, vectors: 1 })
    sizes.note(request({ encoding_format: 'base64' }), { bytes: 100, vectors: 1 })
    expect(sizes.itemsMax(request(), 10_000)).toBe(9)
    expect(sizes.itemsMax(request({ dimensions: 2 }), 10_000)).toBe(9)
    expect(sizes.itemsMax(request({ encoding_format: 'base64' }), 10_000)).toBe(90)
    expect(sizes.itemsMax(request({ model: 'n' }), 1_000_000)).toBe(8)
    expect(sizes.itemsMax(request(), 1)).toBe(1)
  })
})

test('no part has more items than fit, however uneven the texts are', () => {
  const input = Array.from({ length: 100 }, (_, index) => (index < 10 ? 'long '.repeat(200) : '') + String(index))
  const plan = planBatch(request({ input }), { nodes: 2, shardItemsMin: 4, shardItemsMax: 7 })
  expect(Math.max(...(plan?.shards ?? []).map(({ items }) => items))).toBe(7)
  expect(plan?.shards.flatMap(({ inputJson }) => JSON.parse(inputJson) as string[])).toEqual(input)
})

test('a batch that fits goes to a single node as it is', () => {
  const limits = { nodes: 1, shardItemsMin: 4, shardItemsMax: 3 }
  expect(planBatch(request({ input: ['a', 'b', 'c'] }), limits)).toBeNull()
  expect(planBatch(request({ input: ['a', 'b', 'c', 'd'] }), limits)?.shards).toHaveLength(2)
})
