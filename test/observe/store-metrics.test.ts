// What Corral stands on, in a scrape: transactions by name, connections, and whether the database answers, asked or not.
import { expect, test } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { DependencyWatch } from '../../src/observe/store-metrics.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import { watched } from '../../src/store/watched.ts'
import { goingOn } from '../../src/store/database.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { makeObserver, sample, scrapeOf } from './fixtures.ts'

function standing() {
  const clock = manualClock()
  const { metrics } = makeObserver().observer
  const state = { isThere: true, asked: 0, redisUp: true }
  const made: OpenableDatabase = {
    kind: 'postgres',
    open: () => Promise.resolve(),
    close: () => Promise.resolve(),
    connections: () => ({ used: 3, idle: 2, waiting: 1 }),
    tlsPeers: () => [],
    tx: async (_scope, work) => {
      state.asked += 1
      if (!state.isThere) throw new CorralError('store_unavailable', 'nobody there')
      return work(goingOn({ query: () => Promise.resolve({ rows: [], rowCount: 0 }) }))
    },
  }
  const database = watched(made, { ended: (...transaction) => watch.ended(...transaction) }, clock)
  const ask = (): Promise<unknown> => database.tx('system', ({ query }) => query('select 1'), { name: 'ask' })
  const watch = new DependencyWatch({ metrics, clock, ask, database, others: { redis: () => state.redisUp, issuers: () => null } })
  const scrape = (): Promise<string> => scrapeOf({ metrics })
  return { clock, state, database, watch, scrape }
}

test('transactions are timed by name, and those that failed by the database are counted', async () => {
  const { database, state, scrape } = standing()
  await database.tx('system', () => Promise.resolve(1), { name: 'claim_job' })
  await database.tx('system', () => Promise.reject(new Error('by its own fault')), { name: 'claim_job' }).catch(() => undefined)
  expect(sample(await scrape(), 'corral_dependency_up{dependency="database"}')).toBe(1)
  state.isThere = false
  await expect(database.tx('system', () => Promise.resolve(1))).rejects.toThrow('nobody there')
  const text = await scrape()
  expect(sample(text, 'corral_db_query_seconds_count{query="claim_job"}')).toBe(2)
  expect(sample(text, 'corral_db_query_seconds_count{query="other"}')).toBe(1)
  expect(sample(text, 'corral_db_failures_total{reason="store_unavailable"}')).toBe(1)
  expect(sample(text, 'corral_dependency_up{dependency="database"}')).toBe(0)
  expect(sample(text, 'corral_db_pool_connections{state="waiting"}')).toBe(1)
  expect(sample(text, 'corral_db_pool_connections{state="used"}')).toBe(3)
})

test('a database that nobody asks is asked now and then, never by a scrape, and heard of when it goes and comes', async () => {
  const { clock, state, watch, scrape } = standing()
  watch.start()
  expect(sample(await scrape(), 'corral_dependency_up{dependency="database"}')).toBe(null)
  expect(state.asked).toBe(0)
  for (const isThere of [true, false, true]) {
    state.isThere = isThere
    clock.advance(10_000)
    await expect.poll(async () => sample(await scrape(), 'corral_dependency_up{dependency="database"}')).toBe(isThere ? 1 : 0)
  }
  watch.stop()
  const { asked } = state
  clock.advance(60_000)
  expect(state.asked).toBe(asked)
})

test('what nobody knows of yet is not shown', async () => {
  const { state, scrape } = standing()
  expect(sample(await scrape(), 'corral_dependency_up{dependency="redis"}')).toBe(1)
  expect(await scrape()).not.toContain('dependency="issuers"')
  state.redisUp = false
  expect(sample(await scrape(), 'corral_dependency_up{dependency="redis"}')).toBe(0)
})
