/** caching.md §11 B2: an ingest beside chats. */
import { expect, test } from 'vitest'

import { EntryStore } from '../../src/cache/entry-store.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import type { SecondLayer } from '../../src/cache/second-layer.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { manualClock } from '../fleet/manual-clock.ts'

const catalogue = 2_000
const requests = 50_000
const answer = Buffer.alloc(4_000)
const vector = Buffer.alloc(3_100)

/** Takes everything and has nothing. */
const sink: SecondLayer = {
  name: 'sink',
  get: () => null,
  put: () => null,
  putMany: () => null,
  delete: () => null,
  purge: () => null,
}

/** Ranks by Zipf's law with exponent 1. */
function zipf(count: number): (random: number) => number {
  const upTo: number[] = []
  let sum = 0
  for (let rank = 1; rank <= count; rank += 1) upTo.push((sum += 1 / rank))
  return (random) => upTo.findIndex((share) => share >= random * sum)
}

interface Beside {
  readonly budgetBytes: number
  /** Vectors that nobody asks for again, coming in evenly. */
  readonly chunks: number
  /** As an ingest asks for them, and not as a client does that embeds a corpus by itself. */
  readonly bulk?: boolean
}

/** Hits of chats in percent, with a store behind memory that holds what passes memory by. */
function chatHitPercent({ budgetBytes, chunks, bulk = false }: Beside): number {
  const { memoryShares } = cacheOptions.parse({})
  const memory = { budgetBytes, shares: memoryShares }
  const store = new EntryStore({ clock: manualClock(), random: () => 0.5, memory, staleMs: 0, layers: [sink] })
  store.open()
  const random = randomSequence(1)
  const rankOf = zipf(catalogue)
  const facts = { ttlMs: Infinity, originMs: 0 }
  const isHit = (): boolean => {
    const key = `question ${rankOf(random())}`
    if (store.peek(key) !== null) return true
    store.put(key, answer, { ...facts, tags: { tenant: 'a', kind: 'inference', digest: 'd' } })
    return false
  }
  for (let index = 0; index < requests; index += 1) isHit()
  let hits = 0
  for (let index = 0; index < requests; index += 1) {
    if (isHit()) hits += 1
    for (let chunk = 0; chunk < chunks / requests; chunk += 1) {
      store.putMany([{ key: `chunk ${index} ${chunk}`, bytes: vector }], {
        ...facts,
        bulk,
        tags: { tenant: 'a', kind: 'embedding', digest: 'e' },
      })
    }
  }
  return (hits / requests) * 100
}

/** What 100,000 chunks cost chats, in points. */
function cost(where: Pick<Beside, 'budgetBytes' | 'bulk'>): number {
  return chatHitPercent({ ...where, chunks: 0 }) - chatHitPercent({ ...where, chunks: 100_000 })
}

const mebibyte = 1_048_576

test('B2: an ingest of 100,000 chunks costs chats nothing, even where their working set does not fit', () => {
  expect(cost({ budgetBytes: 6 * mebibyte, bulk: true })).toBe(0)
})

test('B2: a client that embeds as many costs them less than half a point where their working set fits their share', () => {
  const budgetBytes = 14 * mebibyte
  expect(chatHitPercent({ budgetBytes, chunks: 0 })).toBeGreaterThan(99)
  expect(cost({ budgetBytes })).toBeLessThan(0.5)
})

test("B2: and at most three points where it does not: one seventh of the memory is the vectors'", () => {
  expect(cost({ budgetBytes: 6 * mebibyte })).toBeLessThan(3)
})
