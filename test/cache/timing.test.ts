/** caching.md §11 I4: from how long an answer takes nobody learns what another tenant asked. */
import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createPostgresLayer } from '../../src/cache/postgres-layer.ts'
import { createRedisLayer } from '../../src/cache/redis-layer.ts'
import type { SecondLayer } from '../../src/cache/second-layer.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { take } from './ask.ts'
import { cached, type Cached, chat } from './cached.ts'
import { openRedis } from './redis-replica.ts'
import { secondStores } from './second-stores.ts'
import { chatLines } from './scripted.ts'

const probes = 1_000
/** Where each look-up is a round trip to real servers. */
const slowProbes = 300
const text = chatLines(['an answer']).join('')

/** Milliseconds of one answer for `tenant`. */
async function probe({ ask }: Cached, question: string, tenant: string): Promise<number> {
  const startMs = performance.now()
  await take(ask(chat(question), { tenant }))
  return performance.now() - startMs
}

/** Two-sample Kolmogorov–Smirnov: the chance of such a distance when both come from one distribution (asymptotic). */
function ksChance(one: readonly number[], other: readonly number[]): number {
  const all = [...one.map((value) => ({ value, step: 1 / one.length })), ...other.map((value) => ({ value, step: -1 / other.length }))]
  let gap = 0
  let distance = 0
  const sorted = all.toSorted((a, b) => a.value - b.value)
  for (const [index, { value, step }] of sorted.entries()) {
    gap += step
    // Equal values count together.
    if (sorted[index + 1]?.value !== value) distance = Math.max(distance, Math.abs(gap))
  }
  const lambda = distance * Math.sqrt((one.length * other.length) / (one.length + other.length))
  let chance = 0
  for (let k = 1; k <= 100; k += 1) chance += 2 * (-1) ** (k - 1) * Math.exp(-2 * k * k * lambda * lambda)
  return lambda < 0.2 ? 1 : Math.min(1, Math.max(0, chance))
}

/** How alike are the times of `prober` for questions that tenant a had asked and for fresh ones, in mixed order. */
async function likeness(prober: string, seed: number, layers: readonly SecondLayer[] = []): Promise<number> {
  const count = layers.length === 0 ? probes : slowProbes
  const built = cached({ layers, onCall: (call) => call.begin(text).end() })
  for (let index = 0; index < count; index += 1) await probe(built, `known ${seed} ${index}`, 'a')
  await built.cache.idle()
  const random = randomSequence(seed)
  const left = { known: count, fresh: count }
  const times: { readonly known: number[]; readonly fresh: number[] } = { known: [], fresh: [] }
  while (left.known + left.fresh > 0) {
    const kind = random() * (left.known + left.fresh) < left.known ? 'known' : 'fresh'
    left[kind] -= 1
    times[kind].push(await probe(built, `${kind} ${seed} ${left[kind]}`, prober))
  }
  return ksChance(times.known, times.fresh)
}

/** Chance alone fails one look of a hundred, hence three: a leak would fail them all. */
async function bestLikeness(layers: readonly SecondLayer[] = []): Promise<number> {
  const looks: number[] = []
  for (let seed = 1; seed <= 3 && !looks.some((chance) => chance > 0.01); seed += 1) looks.push(await likeness('b', seed, layers))
  return Math.max(...looks)
}

test('I4: a thousand probes for what another tenant asked look like a thousand for what nobody asked', async () => {
  expect(await bestLikeness()).toBeGreaterThan(0.01)
})

test('I4: the same probes tell a tenant what it asked itself', async () => {
  expect(await likeness('a', 4)).toBeLessThan(1e-6)
})

const kept = secondStores()

/** Redis and a database that keep every answer. */
async function layersBehind(): Promise<readonly SecondLayer[]> {
  const redis = createRedisLayer({ redis: await openRedis(kept.server.url), clock: systemClock, isCluster: false })
  const postgres = createPostgresLayer({ database: kept.database, clock: systemClock, random: () => 0.5, originMsMin: 0, readMsMax: 5_000 })
  return [redis, postgres]
}

test('I4: so they do with Redis and a database behind memory, where the other tenant’s answers lie', async () => {
  const layers = await layersBehind()
  expect(await bestLikeness(layers)).toBeGreaterThan(0.01)
  const { rows } = await kept.database.tx('system', (transaction) => transaction.query('select count(*)::int as count from cache_entries'))
  expect(Number(rows[0]?.['count'])).toBeGreaterThan(slowProbes)
})
