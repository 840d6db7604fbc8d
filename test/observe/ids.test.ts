// Ids: shape, uniqueness, and that an all-zero id cannot come out.
import { expect, test } from 'vitest'

import { createIdSource } from '../../src/base/ids.ts'

test('makes ids of the promised shapes', () => {
  const ids = createIdSource()
  expect(ids.requestId()).toMatch(/^[0-9a-f]{26}$/)
  expect(ids.traceId()).toMatch(/^[0-9a-f]{32}$/)
  expect(ids.spanId()).toMatch(/^[0-9a-f]{16}$/)
})

test('makes a hundred thousand different ids, over many refills of its pool', () => {
  const ids = createIdSource()
  const seen = new Set(Array.from({ length: 100_000 }, () => ids.requestId()))
  expect(seen.size).toBe(100_000)
})

test('uses every character about equally often', () => {
  const ids = createIdSource()
  const counts = new Map<string, number>()
  for (let index = 0; index < 20_000; index += 1) for (const digit of ids.requestId()) counts.set(digit, (counts.get(digit) ?? 0) + 1)
  expect(counts.size).toBe(16)
  const expected = (20_000 * 26) / 16
  for (const count of counts.values()) expect(Math.abs(count - expected) / expected).toBeLessThan(0.05)
})

test('draws again when the random bytes of a span id are all zero', () => {
  let fills = 0
  const ids = createIdSource((bytes) => {
    fills += 1
    bytes.fill(fills === 1 ? 0 : 1)
  })
  expect(ids.spanId()).toBe('01'.repeat(8))
})
