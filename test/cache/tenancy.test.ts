/** caching.md §11 I1 and issue-wide isolation: a hundred thousand random requests of several tenants, and no strange byte. */
import { describe, expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { type Cache, createCache } from '../../src/cache/layer.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import { createPostgresLayer } from '../../src/cache/postgres-layer.ts'
import { createRedisLayer } from '../../src/cache/redis-layer.ts'
import type { SecondLayer } from '../../src/cache/second-layer.ts'
import { migrations } from '../../src/migrations.ts'
import { migrate } from '../../src/store/migrate.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { embeddedOn } from '../store/stores.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'
import { startRedis } from '../support/redis.ts'
import { secret } from './cached.ts'
import { openRedis } from './redis-replica.ts'
import { type Walked, walkTenants } from './tenant-walk.ts'

interface Opened {
  readonly cache: Cache
  /** A pull of another build, and back. */
  readonly repull: (build: number) => void
}

function open(clock: Parameters<typeof createCache>[0]['clock'], layers: readonly SecondLayer[]): Opened {
  const options = cacheOptions.parse({ memoryBytes: 1_048_576, staleMs: 60_000, flight: { graceMs: 0, failureMs: 5 } })
  let build = 0
  const cache = createCache({
    options: () => options,
    clock,
    random: () => 0.5,
    secret,
    digestOf: () => `d${build}`,
    digestsOf: () => ['d0', 'd1'],
    engineEpoch: () => '0.33',
    layers,
  })
  onTestFinished(() => cache.close())
  return { cache, repull: (next) => (build = next) }
}

/** What makes the walk worth its name: all ways through the cache were taken, often. */
function expectIsolated({ roles, answers, strange }: Walked): void {
  expect(strange.slice(0, 3)).toEqual([])
  for (const role of ['hit', 'miss', 'joined', 'bypass']) expect([role, (roles[role] ?? 0) > answers / 500]).toEqual([role, true])
}

describe('no byte of one tenant reaches another', () => {
  test('over 100,000 random operations in memory', async () => {
    const clock = manualClock()
    const { cache, repull } = open(clock, [])
    const disturb = (random: number): void => {
      if (random < 0.3) repull(Math.floor(random * 6))
      clock.advance(Math.floor(random * 5_000))
    }
    const walked = await walkTenants({ cache, seed: 7, operations: 100_000, disturb })
    expectIsolated(walked)
    expect(walked.answers + walked.failures).toBe(100_000)
  })

  test('over 5,000 with Redis behind two replicas', async () => {
    const { url } = await startRedis()
    const replicas = await Promise.all(
      [1, 2].map(async () => {
        const layer = createRedisLayer({ redis: await openRedis(url), clock: systemClock, isCluster: false })
        return open(systemClock, [layer]).cache
      }),
    )
    const walks = replicas.map((cache, index) => walkTenants({ cache, seed: 11 + index, operations: 2_500 }))
    for (const walked of await Promise.all(walks)) expectIsolated(walked)
  })

  test('over 1,000 with the database behind two replicas', async () => {
    const database = embeddedOn(await embeddedFolder())
    await database.open()
    onTestFinished(() => database.close())
    await migrate(database, migrations, systemClock)
    const replicas = [1, 2].map(() => {
      const layer = createPostgresLayer({ database, clock: systemClock, random: () => 0.5, originMsMin: 0, readMsMax: 2_000 })
      return open(systemClock, [layer]).cache
    })
    const walks = replicas.map((cache, index) => walkTenants({ cache, seed: 21 + index, operations: 500 }))
    for (const walked of await Promise.all(walks)) expectIsolated(walked)
  })

  test('and the walk would see one', async () => {
    const clock = manualClock()
    const { cache } = open(clock, [])
    const blind: Cache = {
      ...cache,
      // Everybody is the same tenant to this one.
      layer: (next) => (request, call) => {
        const inner = cache.layer((made, { principal, ...rest }) => next(made, { ...rest, principal, tenant: call.tenant }))
        return inner(request, { ...call, tenant: 'all' })
      },
      purge: (selector, how) => cache.purge(selector, how),
    }
    const { strange } = await walkTenants({ cache: blind, seed: 3, operations: 2_000 })
    expect(strange.length).toBeGreaterThan(100)
  })
})
