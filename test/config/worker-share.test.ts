// What one worker of several may use.

import { expect, test } from 'vitest'

import { configSchema } from '../../src/config/schema.ts'
import { shareOf } from '../../src/config/worker-share.ts'

const config = configSchema.parse({
  fleet: { nodes: [{ url: 'http://a:1', slots: 5 }, { url: 'http://b:1', slots: 1 }, { url: 'http://c:1' }], admission: { queueMax: 7 } },
  http: { connectionsMax: 100 },
})
const shares = (count: number, memoryBytes: number | null = null) =>
  Array.from({ length: count }, (_, index) => shareOf(config, { index, count }, memoryBytes))

test('the shares of all workers are the whole', () => {
  const own = shares(3)
  const total = (of: (config: ReturnType<typeof shareOf>) => number): number => own.reduce((sum, one) => sum + of(one), 0)
  expect(total(({ fleet }) => fleet.nodes[0]?.slots ?? 0)).toBe(5)
  expect(total(({ fleet }) => fleet.admission.queueMax)).toBe(7)
  expect(total(({ http }) => http.connectionsMax)).toBe(100)
  expect(total(({ cache }) => cache.memoryBytes)).toBe(config.cache.memoryBytes)
  expect(total(({ store }) => store.pool.connectionsMax)).toBe(config.store.pool.connectionsMax)
})

test('nobody is left with nothing, and what is learned stays learned', () => {
  for (const { fleet } of shares(2)) expect(fleet.nodes.slice(1).map(({ slots }) => slots)).toEqual([1, undefined])
})

test('the memory that the system allows is divided where the configuration names none', () => {
  expect(shares(2, 1_000).map(({ http }) => http.memoryBytesMax)).toEqual([500, 500])
  expect(shares(2).map(({ http }) => http.memoryBytesMax)).toEqual([0, 0])
})

test('one worker is the whole gateway', () => {
  expect(shareOf(config, { index: 0, count: 1 }, 1_000)).toBe(config)
})
