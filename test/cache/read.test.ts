// What is read of a store is fresh, whichever layer has it: a stale entry is kept for those alone who ask for one.
import { expect, test } from 'vitest'

import { EntryStore } from '../../src/cache/entry-store.ts'
import type { SecondLayer } from '../../src/cache/second-layer.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { manualClock } from '../fleet/manual-clock.ts'

const tags = { tenant: 'a', kind: 'answer', digest: 'd' } as const

function storeBefore(freshForMs: number): EntryStore {
  const layer: SecondLayer = {
    name: 'far',
    get: () => Promise.resolve({ bytes: Buffer.from('far'), ageMs: 5, freshForMs }),
    put: () => null,
    delete: () => null,
    purge: () => null,
  }
  const memory = { budgetBytes: 1_048_576, shares: { answer: 1 } }
  const store = new EntryStore({ clock: manualClock(), random: () => 0.5, memory, staleMs: 60_000, layers: [layer] })
  store.open()
  return store
}

test.each([
  [1_000, 'far'],
  [-1, null],
])('an entry of a slower layer that is fresh for %i ms is read as %s', async (freshForMs, expected) => {
  const read = await storeBefore(freshForMs).read('key', tags, { isIntact: () => true, mayRenew: true })
  expect(read?.bytes.toString() ?? null).toBe(expected)
})

test('F6: of those who read an entry that ends soon one is drawn at a time, until a new one is put', async () => {
  const clock = manualClock()
  const memory = { budgetBytes: 1_048_576, shares: { answer: 1 } }
  const store = new EntryStore({ clock, random: randomSequence(4), memory, staleMs: 0, layers: [] })
  const facts = { tags, ttlMs: 600_000, originMs: 5_000 }
  const isIntact = (): boolean => true
  const { expiresAtMs } = store.put('key', Buffer.from('old'), facts)
  let reads = 0
  const drawnAtMs: number[] = []
  clock.advance(expiresAtMs - 300_000 - clock.nowMs())
  while (clock.nowMs() < expiresAtMs - 2) {
    const read = await store.read('key', tags, { isIntact, mayRenew: true })
    reads += 1
    if (read?.isDrawn === true) drawnAtMs.push(clock.nowMs())
    clock.advance(2)
  }
  const [firstAtMs = 0] = drawnAtMs
  expect(reads).toBeGreaterThan(100_000)
  expect(expiresAtMs - firstAtMs).toBeGreaterThan(5_000)
  // Its making never came to an end, so it is tried again after twice as long.
  expect(drawnAtMs.every((atMs, index) => index === 0 || atMs - (drawnAtMs[index - 1] ?? 0) >= 10_000)).toBe(true)
  const left = async (mayRenew: boolean): Promise<boolean> => {
    const drawn: boolean[] = []
    for (let index = 0; index < 1_000; index += 1) drawn.push((await store.read('key', tags, { isIntact, mayRenew }))?.isDrawn === true)
    return drawn.includes(true)
  }
  clock.advance(expiresAtMs - 1 - clock.nowMs())
  expect(await left(false)).toBe(false)
  store.put('key', Buffer.from('new'), facts)
  expect(await left(true)).toBe(false)
})

test('how long a slower layer took is told for each lookup, a failed one and one of many too', async () => {
  const clock = manualClock()
  const after = async (tookMs: number): Promise<null> => {
    clock.advance(tookMs)
    return null
  }
  const layer: SecondLayer = {
    name: 'far',
    get: (key) => (key === 'gone' ? after(30).then(() => Promise.reject(new Error('down'))) : after(7)),
    getMany: () => after(11).then(() => new Map()),
    put: () => null,
    delete: () => null,
    purge: () => null,
  }
  const memory = { budgetBytes: 1_048_576, shares: { answer: 1 } }
  const store = new EntryStore({ clock, random: () => 0.5, memory, staleMs: 0, layers: [layer] })
  const heard: [string, number][] = []
  store.watchLookups((...lookup) => heard.push(lookup))
  store.open()
  await store.find('key', tags, () => true)
  await store.find('gone', tags, () => true)
  await store.findMany(['key', 'other'], { tags, isIntact: () => true, bulk: false })
  expect(heard).toEqual([
    ['far', 7],
    ['far', 30],
    ['far', 11],
  ])
})
