/** caching.md §11 B2: an ingest beside chats. */
import { expect, test } from 'vitest'

import { MemoryLayer } from '../../src/cache/memory-layer.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { seeded } from './tenant-walk.ts'

const catalogue = 2_000
const requests = 50_000
const answer = Buffer.alloc(4_000)
const vector = Buffer.alloc(3_100)

/** Ranks by Zipf's law with exponent 1. */
function zipf(count: number): (random: number) => number {
  const upTo: number[] = []
  let sum = 0
  for (let rank = 1; rank <= count; rank += 1) upTo.push((sum += 1 / rank))
  return (random) => upTo.findIndex((share) => share >= random * sum)
}

/** Hits of chats in percent, while `chunks` vectors that nobody asks for again come in evenly. */
function chatHitPercent(chunks: number): number {
  const layer = new MemoryLayer({ budgetBytes: 24 * 1_048_576, staleMs: 0, clock: manualClock() })
  const random = seeded(1)
  const rankOf = zipf(catalogue)
  const times = { bornAtMs: 0, expiresAtMs: Infinity }
  const isHit = (): boolean => {
    const key = `question ${rankOf(random())}`
    if (layer.get(key) !== null) return true
    layer.set(key, { ...times, bytes: answer, tags: { tenant: 'a', kind: 'inference', digest: 'd' } })
    return false
  }
  for (let index = 0; index < requests; index += 1) isHit()
  let hits = 0
  for (let index = 0; index < requests; index += 1) {
    if (isHit()) hits += 1
    for (let chunk = 0; chunk < chunks / requests; chunk += 1) {
      layer.set(`chunk ${index} ${chunk}`, { ...times, bytes: vector, tags: { tenant: 'a', kind: 'embedding', digest: 'e' } })
    }
  }
  return (hits / requests) * 100
}

test('B2: 100,000 chunks cost chats less than half a point, where their working set fits the protected half', () => {
  const alone = chatHitPercent(0)
  const beside = chatHitPercent(100_000)
  expect(alone).toBeGreaterThan(99)
  expect(alone - beside).toBeLessThan(0.5)
})
