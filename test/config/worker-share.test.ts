// What one worker of several may use.

import { expect, test } from 'vitest'

import { configSchema } from '../../src/config/schema.ts'
import { share, shareOf } from '../../src/config/worker-share.ts'

const config = configSchema.parse({
  fleet: { nodes: [{ url: 'http://a:1' }], admission: { queueMax: 7 } },
  http: { connectionsMax: 100 },
})
const shares = (count: number, memoryBytes: number | null = null) =>
  Array.from({ length: count }, (_, index) => shareOf(config, { index, count }, memoryBytes))

test('the shares of all workers are the whole', () => {
  const own = shares(3)
  const total = (of: (config: ReturnType<typeof shareOf>) => number): number => own.reduce((sum, one) => sum + of(one), 0)
  expect(total(({ fleet }) => fleet.admission.queueMax)).toBe(7)
  expect(total(({ http }) => http.connectionsMax)).toBe(100)
  expect(total(({ cache }) => cache.memoryBytes)).toBe(config.cache.memoryBytes)
  expect(total(({ store }) => store.pool.connectionsMax)).toBe(config.store.pool.connectionsMax)
})

test('nobody is left with nothing', () => {
  expect([0, 1, 2].map((index) => share(2, { index, count: 3 }))).toEqual([1, 1, 1])
})

test('the memory that the system allows is divided where the configuration names none', () => {
  expect(shares(2, 1_000).map(({ http }) => http.memoryBytesMax)).toEqual([500, 500])
  expect(shares(2).map(({ http }) => http.memoryBytesMax)).toEqual([0, 0])
})

test('one worker is the whole gateway', () => {
  expect(shareOf(config, { index: 0, count: 1 }, 1_000)).toBe(config)
})
