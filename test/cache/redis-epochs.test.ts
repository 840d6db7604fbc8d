/** Purges over replicas that share a Redis and no database. */
import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createRedisEpochStore } from '../../src/cache/redis-epochs.ts'
import { createRedisLayer } from '../../src/cache/redis-layer.ts'
import { until } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { cached } from './cached.ts'
import { type Gateway, gatewaysOn } from './redis-gateways.ts'
import { openRedis } from './redis-replica.ts'

/** Asks again until the answer came as `role`. */
async function untilRole(gateway: Gateway, role: string): Promise<void> {
  const endMs = systemClock.nowMs() + 5_000
  while ((await gateway.role()) !== role) {
    if (systemClock.nowMs() > endMs) throw new Error(`never a ${role}`)
    await systemClock.sleep(5)
  }
}

test.each([
  ['a model', { model: 'llama3.2:3b' }],
  ['a tenant', { tenant: 'local' }],
  ['everything', { all: true }],
])('a purge of %s on one replica is seen by another within a second', async (_, selector) => {
  const { url } = await startRedis()
  const [one, other] = await gatewaysOn(url)
  if (one === undefined || other === undefined) throw new Error('no gateways')
  await untilRole(one, 'hit')
  await untilRole(other, 'hit')
  expect(await one.purge(selector)).toMatchObject({ shared: true })
  const purgedAtMs = performance.now()
  await untilRole(other, 'miss')
  expect(performance.now() - purgedAtMs).toBeLessThan(1_000)
  expect(await other.role()).toBe('hit')
})

test('a purge by key on one replica is seen by another', async () => {
  const server = await startRedis()
  const [one, other] = await gatewaysOn(server.url)
  if (one === undefined || other === undefined) throw new Error('no gateways')
  await untilRole(one, 'hit')
  await untilRole(other, 'hit')
  const key = /cache:\{\d+\}:([\da-f]{64})w/.exec(await server.send('KEYS *'))?.[1]
  expect(await one.purge({ key })).toMatchObject({ memory: 1, layers: { redis: 1 }, shared: true })
  await untilRole(other, 'miss')
  expect(await other.role()).toBe('hit')
})

test('a replica that starts later knows of purges before it looks into Redis', async () => {
  const { url } = await startRedis()
  const [one] = await gatewaysOn(url, { count: 1 })
  if (one === undefined) throw new Error('no gateway')
  await untilRole(one, 'hit')
  await one.purge({ all: true })
  const [late] = await gatewaysOn(url, { count: 1 })
  expect(await late?.role()).toBe('miss')
})

test('counters that Redis lost bring nothing back, and later purges are beyond all earlier ones', async () => {
  const server = await startRedis()
  const store = createRedisEpochStore(await openRedis(server.url))
  const key = 'corral:cache:epochs'
  const before = await store.raise(['a', 'b'])
  const again = await store.raise(['a'])
  expect(again['a']).toBeGreaterThan(before['a'] ?? Infinity)
  expect(again['b']).toBe(before['b'])
  // Redis's clock in ms moved on since.
  const raisedAtMs = systemClock.wallMs()
  await until(() => systemClock.wallMs() > raisedAtMs + 1, 'the next millisecond')
  await server.send(`DEL ${key}`)
  const lost = await store.load()
  expect(lost['all']).toBeGreaterThan(before['all'] ?? Infinity)
  expect(lost['a']).toBeUndefined()
  await server.send(`HDEL ${key} a b`)
  expect((await store.raise(['a']))['a']).toBeGreaterThan(again['a'] ?? Infinity)
})

test('two replicas that raise one counter at once both move it', async () => {
  const { url } = await startRedis()
  const stores = await Promise.all([1, 2, 3].map(async () => createRedisEpochStore(await openRedis(url))))
  const raised = await Promise.all(stores.map((store) => store.raise(['x'])))
  const values = raised.map((counters) => counters['x'])
  expect(new Set(values).size).toBe(3)
  expect((await stores[0]?.load())?.['x']).toBe(Math.max(...values.map(Number)))
})

test('a replica whose Redis is away at its start looks into it once the counters are known', async () => {
  const server = await startRedis()
  const redis = await openRedis(server.url)
  const layers = [createRedisLayer({ redis, clock: systemClock, isCluster: false })]
  const { cache, clock } = cached({ layers, epochStore: createRedisEpochStore(redis) })
  await server.kill()
  await until(() => redis.state !== 'up', 'Redis is missed')
  await cache.start()
  expect(cache.stats().layers).toEqual([])
  await server.restart()
  await until(() => redis.state === 'up', 'Redis is back')
  clock.advance(1_000)
  await until(() => cache.stats().layers.length === 1, 'the counters are known')
})
