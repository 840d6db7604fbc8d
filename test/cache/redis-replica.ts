/** A replica before a real Redis: its cache with the Redis layer and lease, as the gateway puts them together. */
import { onTestFinished } from 'vitest'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import { type Cache, createCache } from '../../src/cache/layer.ts'
import { createRedisLease, type RedisLease } from '../../src/cache/lease.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import { createRedisLayer } from '../../src/cache/redis-layer.ts'
import type { SecondLayer } from '../../src/cache/second-layer.ts'
import { createRedis } from '../../src/store/redis.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import { until } from '../support/gateway.ts'
import { oneBuild, secret } from './cached.ts'

/** A connected store. Its timeout is wide where a test is not about time, because the machine may be busy. */
export async function openRedis(url: string, options: Readonly<Record<string, unknown>> = {}): Promise<RedisStore> {
  const store = createRedis(redisOptions.parse({ url, commandTimeoutMs: 2_000, ...options }), { clock: systemClock, random: () => 0.5 })
  onTestFinished(() => store.close())
  store.start()
  await until(() => store.state === 'up', 'Redis is up')
  return store
}

export interface Replica {
  readonly redis: RedisStore
  readonly layer: SecondLayer
  readonly lease: RedisLease
  readonly cache: Cache
}

export interface ReplicaOptions {
  readonly name?: string
  readonly clock?: Clock
  readonly redis?: Readonly<Record<string, unknown>>
  readonly cache?: Readonly<Record<string, unknown>>
}

export async function replicaOn(
  url: string,
  { name = 'r1', clock = systemClock, redis: redisSettings = {}, cache: settings = {} }: ReplicaOptions = {},
): Promise<Replica> {
  const redis = await openRedis(url, redisSettings)
  const layer = createRedisLayer({ redis, clock, isCluster: url.startsWith('redis+cluster') })
  const leases = createRedisLease({ redis, clock: systemClock, replica: name })
  const options = cacheOptions.parse({ replay: { fresh: false }, ...settings })
  const cache = createCache({
    options: () => options,
    clock,
    random: () => 0.5,
    secret,
    ...oneBuild,
    layers: [layer],
    lease: leases,
  })
  onTestFinished(async () => {
    leases.close()
    await cache.close()
  })
  return { redis, layer, lease: leases, cache }
}
