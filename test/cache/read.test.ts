// What is read of a store is fresh, whichever layer has it: a stale entry is kept for those alone who ask for one.
import { expect, test } from 'vitest'

import { EntryStore } from '../../src/cache/entry-store.ts'
import type { SecondLayer } from '../../src/cache/second-layer.ts'
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
  const read = await storeBefore(freshForMs).read('key', tags, () => true)
  expect(read?.toString() ?? null).toBe(expected)
})
