// Limits of several replicas over one real Redis, and what each does when that Redis fails.
import { expect, onTestFinished, test } from 'vitest'

import { freePort } from '../support/free-port.ts'
import { systemClock, type Clock } from '../../src/base/clock.ts'
import { Budgets } from '../../src/limits/budget.ts'
import { createLimiter, type Decision, type Limiter } from '../../src/limits/limiter.ts'
import type { Plan } from '../../src/limits/plan.ts'
import { createRedis } from '../../src/store/redis.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import { until } from '../support/gateway.ts'
import { startRedisFront } from '../support/redis-front.ts'
import { startRedis } from '../support/redis.ts'
import { options, planOf } from './plans.ts'

interface Replica {
  readonly limiter: Limiter
  readonly store: RedisStore
}

interface Setting {
  readonly given?: Readonly<Record<string, unknown>>
  readonly redis?: Readonly<Record<string, unknown>>
  readonly clock?: Clock
}

let replicasMade = 0

/** One replica. Its patience is long where a test is not about time, because the machine may be busy. */
async function replica(
  url: string,
  { given = {}, redis = { commandTimeoutMs: 2_000 }, clock = systemClock }: Setting = {},
): Promise<Replica> {
  replicasMade += 1
  const store = createRedis(redisOptions.parse({ url, flappingHoldMs: 0, ...redis }), { clock: systemClock, random: () => 0.5 })
  const parsed = options(given)
  const budgets = new Budgets(clock, () => 10)
  const limiter = createLimiter({ clock, options: () => parsed, budgets, redis: store, replica: `r${replicasMade}` })
  onTestFinished(async () => {
    await limiter.close()
    await store.close()
  })
  store.start()
  await until(() => store.state === 'up', 'Redis is up')
  limiter.start()
  return { limiter, store }
}

let ids = 0

function admit({ limiter }: Replica, plan: Plan, tokens = 0): Decision | Promise<Decision> {
  ids += 1
  return limiter.admit(plan, `id${ids}`, tokens)
}

async function countAdmitted(one: Replica, plan: Plan, times: number, tokens = 0): Promise<number> {
  let admitted = 0
  for (let index = 0; index < times; index += 1) if ((await admit(one, plan, tokens)).verdict.admitted) admitted += 1
  return admitted
}

test('four replicas and 100,000 requests never exceed the limit', async () => {
  const server = await startRedis()
  const limit = 30_000
  const plan = planOf({ own: { requestsPerMinute: limit }, ofTenant: { requestsPerMinute: limit * 2 } })
  const replicas = await Promise.all(Array.from({ length: 4 }, () => replica(server.url)))
  const startMs = systemClock.nowMs()
  let admitted = 0
  let asked = 0
  const worker = async (one: Replica): Promise<void> => {
    while (asked < 100_000) {
      asked += 1
      if ((await admit(one, plan)).verdict.admitted) admitted += 1
    }
  }
  await Promise.all(replicas.flatMap((one) => Array.from({ length: 25 }, () => worker(one))))
  const minutes = (systemClock.nowMs() - startMs) / 60_000
  expect(replicas.reduce((sum, { limiter }) => sum + limiter.stats.decidedAlone, 0)).toBe(0)
  expect(admitted).toBeGreaterThanOrEqual(limit)
  expect(admitted).toBeLessThanOrEqual(limit + limit * minutes)
})

test('workers that never saw Redis share a limit among them', async () => {
  const port = await freePort()
  const plan = planOf({ own: { requestsPerMinute: 100 } })
  const parsed = options({})
  let admitted = 0
  for (let index = 0; index < 4; index += 1) {
    const store = createRedis(redisOptions.parse({ url: `redis://127.0.0.1:${port}` }), { clock: systemClock, random: () => 0.5 })
    const clock = { ...systemClock, nowMs: () => 0 }
    const budgets = new Budgets(clock, () => 10)
    const limiter = createLimiter({ clock, options: () => parsed, budgets, redis: store, replica: `lone${index}`, workers: 4 })
    onTestFinished(async () => {
      await limiter.close()
      await store.close()
    })
    store.start()
    limiter.start()
    admitted += await countAdmitted({ limiter, store }, plan, 100)
  }
  expect(admitted).toBe(100)
})

test('a denied request takes nothing of any meter', async () => {
  const server = await startRedis()
  const one = await replica(server.url)
  const two = await replica(server.url)
  const tight = planOf({ own: { requestsPerMinute: 2 }, ofTenant: { requestsPerMinute: 10, tokensPerMinute: 1_000, concurrency: 50 } })
  const other = planOf({ subject: 'key_2', ofTenant: { requestsPerMinute: 10, tokensPerMinute: 1_000, concurrency: 50 } })
  expect(await countAdmitted(one, tight, 30, 1)).toBe(2)
  expect(await countAdmitted(two, other, 30, 1)).toBe(8)
})

test('tokens reserved on one replica are missing on the other until they are settled', async () => {
  const server = await startRedis()
  const [one, two] = await Promise.all([replica(server.url), replica(server.url)])
  const plan = planOf({ own: { tokensPerMinute: 1_000 } })
  const first = await admit(one, plan, 700)
  const denied = await admit(two, plan, 400)
  expect(denied.verdict).toMatchObject({ admitted: false, dimension: 'tokens', standings: { tokens: { limit: 1_000, remaining: 300 } } })
  first.reservation?.settle(100)
  first.reservation?.settle(100)
  await until(() => one.store.stats.underWay === 0, 'it is settled')
  const second = await admit(two, plan, 900)
  expect(second.verdict).toMatchObject({ admitted: true, standings: { tokens: { remaining: 0 } } })
})

test('a reservation of a replica that died is given back after its time', async () => {
  const server = await startRedis()
  const dying = await replica(server.url, { given: { reservationMs: 300 } })
  const living = await replica(server.url, { given: { reservationMs: 300 } })
  const plan = planOf({ own: { tokensPerMinute: 1_000, concurrency: 1 } })
  expect((await admit(dying, plan, 1_000)).verdict.admitted).toBe(true)
  await dying.limiter.close()
  await dying.store.close()
  expect((await admit(living, plan, 1_000)).verdict.admitted).toBe(false)
  await systemClock.sleep(400)
  expect((await admit(living, plan, 1_000)).verdict.admitted).toBe(true)
})

test('a reservation of a replica that lives is renewed for as long as its request runs', async () => {
  const server = await startRedis()
  const one = await replica(server.url, { given: { reservationMs: 300 } })
  const plan = planOf({ own: { concurrency: 1 } })
  const running = await admit(one, plan)
  await systemClock.sleep(1_000)
  expect((await admit(one, plan)).verdict).toMatchObject({ admitted: false, dimension: 'concurrency' })
  running.reservation?.settle(0)
  await until(() => one.store.stats.underWay === 0, 'it is settled')
  expect((await admit(one, plan)).verdict.admitted).toBe(true)
})

test('the scripts survive SCRIPT FLUSH', async () => {
  const server = await startRedis()
  const one = await replica(server.url)
  const plan = planOf({ own: { requestsPerMinute: 10 } })
  expect(await countAdmitted(one, plan, 5)).toBe(5)
  await server.send('SCRIPT FLUSH')
  expect(await countAdmitted(one, plan, 10)).toBe(5)
  expect(one.limiter.stats.decidedAlone).toBe(0)
})

test('a replica whose wall clock jumps counts on: Redis has the time', async () => {
  const server = await startRedis()
  let wallMs = systemClock.wallMs()
  const one = await replica(server.url, { clock: { ...systemClock, wallMs: () => wallMs } })
  const plan = planOf({ own: { requestsPerMinute: 5 } })
  expect(await countAdmitted(one, plan, 10)).toBe(5)
  wallMs += 3_600_000
  expect(await countAdmitted(one, plan, 10)).toBe(0)
  wallMs -= 7_200_000
  expect(await countAdmitted(one, plan, 10)).toBe(0)
})

test('while Redis is frozen each replica admits its share, and Redis decides again within a second of its return', async () => {
  const server = await startRedis()
  const replicas = await Promise.all(Array.from({ length: 4 }, () => replica(server.url, { redis: {} })))
  const [one] = replicas
  if (one === undefined) throw new Error('no replica')
  await until(() => replicas.every(({ limiter }) => limiter.stats.replicas === 4), 'each knows of all four')
  server.freeze()
  const plan = planOf({ own: { requestsPerMinute: 100 } })
  const startMs = systemClock.nowMs()
  const counts = await Promise.all(replicas.map((each) => countAdmitted(each, plan, 60)))
  expect(systemClock.nowMs() - startMs).toBeLessThan(1_500)
  expect(counts).toEqual([25, 25, 25, 25])
  const quick = systemClock.nowMs()
  expect(admit(one, plan)).toMatchObject({ verdict: { admitted: false } })
  expect(systemClock.nowMs() - quick).toBeLessThan(20)
  server.thaw()
  const thawedMs = systemClock.nowMs()
  await until(() => one.store.state === 'up', 'Redis is up again')
  expect(systemClock.nowMs() - thawedMs).toBeLessThan(1_000)
  const alone = one.limiter.stats.decidedAlone
  await admit(one, planOf({ subject: 'other', own: { requestsPerMinute: 5 } }))
  expect(one.limiter.stats.decidedAlone).toBe(alone)
})

test('a Redis that comes and goes each second is left alone, so what is admitted does not swing (F37)', async () => {
  const server = await startRedis()
  const one = await replica(server.url, { redis: { commandTimeoutMs: 25, flappingHoldMs: 5_000 } })
  const plan = planOf({ own: { requestsPerMinute: 1_000 } })
  const states: string[] = []
  for (let round = 0; round < 4; round += 1) {
    server.freeze()
    const frozenUntilMs = systemClock.nowMs() + 500
    while (systemClock.nowMs() < frozenUntilMs) {
      await Promise.race([admit(one, plan), systemClock.sleep(30)])
      states.push(one.store.state)
      await systemClock.sleep(5)
    }
    server.thaw()
    await systemClock.sleep(500)
    states.push(one.store.state)
  }
  const changes = states.filter((state, index) => index > 0 && (state === 'up') !== (states[index - 1] === 'up')).length
  expect(changes).toBeLessThanOrEqual(3)
})

test('what Redis admitted counts against the share when Redis is lost', async () => {
  const server = await startRedis()
  const one = await replica(server.url)
  const plan = planOf({ own: { requestsPerMinute: 100 } })
  expect(await countAdmitted(one, plan, 60)).toBe(60)
  await server.kill()
  await until(() => one.store.state !== 'up', 'the loss is seen')
  expect(await countAdmitted(one, plan, 100)).toBe(40)
})

test('what was admitted while Redis was away is charged when it is back', async () => {
  const server = await startRedis()
  const [one, two] = await Promise.all([replica(server.url), replica(server.url)])
  await until(() => one.limiter.stats.replicas === 2 && two.limiter.stats.replicas === 2, 'each knows of both')
  const plan = planOf({ own: { requestsPerMinute: 100, tokensPerMinute: 10_000 } })
  await server.kill()
  await until(() => one.store.state !== 'up' && two.store.state !== 'up', 'the loss is seen')
  const decisions = await Promise.all(Array.from({ length: 60 }, async () => admit(one, plan, 10)))
  expect(decisions.filter(({ verdict }) => verdict.admitted)).toHaveLength(50)
  for (const { reservation } of decisions) reservation?.settle(7)
  await server.restart()
  await until(() => one.store.state === 'up' && two.store.state === 'up', 'Redis is up again')
  const { verdict } = await admit(one, plan, 0)
  expect(verdict.standings.requests?.remaining).toBeLessThanOrEqual(51)
  expect(verdict.standings.tokens?.remaining).toBeLessThanOrEqual(9_750)
  expect(await countAdmitted(two, plan, 100)).toBeLessThanOrEqual(52)
  expect((await admit(one, plan, 0)).verdict.admitted).toBe(false)
})

test.each([
  ['full', 'CONFIG SET maxmemory 1'],
  ['a replica', 'REPLICAOF 127.0.0.1 1'],
])('when Redis is %s, requests are counted here and none fails', async (_, provoke) => {
  const server = await startRedis({ arguments: ['--maxmemory-policy', 'noeviction'] })
  const one = await replica(server.url, { redis: { commandTimeoutMs: 500 } })
  await server.send(provoke)
  const plan = planOf({ own: { requestsPerMinute: 30, tokensPerMinute: 1_000, concurrency: 100 } })
  expect(await countAdmitted(one, plan, 100, 1)).toBe(30)
  expect(one.limiter.stats.decidedAlone).toBeGreaterThan(0)
})

test('a slow Redis costs a request its timeout at most, and then nothing', async () => {
  const server = await startRedis()
  const front = await startRedisFront(server.port)
  const one = await replica(`redis://127.0.0.1:${front.port}`, { redis: { commandTimeoutMs: 25 } })
  front.delayMs = 200
  const plan = planOf({ own: { requestsPerMinute: 1_000 } })
  const times: number[] = []
  for (let index = 0; index < 200; index += 1) {
    const startMs = systemClock.nowMs()
    const { verdict } = await admit(one, plan)
    expect(verdict.admitted).toBe(true)
    times.push(systemClock.nowMs() - startMs)
  }
  times.sort((a, b) => a - b)
  expect(times[100]).toBeLessThan(2)
  expect(times.filter((tookMs) => tookMs > 15).length).toBeLessThan(20)
})

test('a charge whose answer is lost is charged once', async () => {
  const server = await startRedis()
  const front = await startRedisFront(server.port)
  const lossy = await replica(`redis://127.0.0.1:${front.port}`)
  const watching = await replica(server.url)
  const plan = planOf({ own: { requestsPerMinute: 10, tokensPerMinute: 1_000 } })
  await admit(lossy, planOf({ subject: 'first', own: { requestsPerMinute: 10 } }))
  front.losing = true
  const { verdict, reservation } = await admit(lossy, plan, 100)
  expect(verdict.admitted).toBe(true)
  front.losing = false
  expect((await admit(watching, plan, 0)).verdict.standings).toMatchObject({ requests: { remaining: 8 }, tokens: { remaining: 900 } })
  await until(() => lossy.store.state === 'up', 'Redis is up again')
  reservation?.settle(50)
  await until(() => lossy.store.stats.underWay === 0, 'it is settled')
  expect((await admit(watching, plan, 0)).verdict.standings).toMatchObject({ requests: { remaining: 7 }, tokens: { remaining: 950 } })
})

test('what was admitted alone because a refusal was lost is charged as soon as Redis says that it knows nothing of it', async () => {
  const server = await startRedis()
  const front = await startRedisFront(server.port)
  const lossy = await replica(`redis://127.0.0.1:${front.port}`)
  const watching = await replica(server.url)
  await admit(lossy, planOf({ subject: 'first', own: { requestsPerMinute: 10 } }))
  const plan = planOf({ own: { requestsPerMinute: 1_000, tokensPerMinute: 100 } })
  const other = await admit(watching, plan, 100)
  front.losing = true
  const { verdict, reservation } = await admit(lossy, plan, 10)
  expect(verdict.admitted).toBe(true)
  front.losing = false
  other.reservation?.settle(0)
  await until(() => lossy.store.state === 'up', 'Redis is up again')
  reservation?.settle(40)
  await until(() => lossy.store.stats.underWay === 0, 'it is settled')
  await admit(lossy, plan, 0)
  expect((await admit(watching, plan, 0)).verdict.standings.tokens?.remaining).toBeLessThan(80)
})

test('a request that holds nothing is charged again when its answer was lost: a limit is met early rather than passed', async () => {
  const server = await startRedis()
  const front = await startRedisFront(server.port)
  const lossy = await replica(`redis://127.0.0.1:${front.port}`)
  const watching = await replica(server.url)
  const plan = planOf({ own: { requestsPerMinute: 6 } })
  await admit(lossy, plan)
  front.losing = true
  expect((await admit(lossy, plan)).verdict.admitted).toBe(true)
  front.losing = false
  await until(() => lossy.store.state === 'up', 'Redis is up again')
  await admit(lossy, plan)
  expect((await admit(watching, plan)).verdict.standings.requests?.remaining).toBeLessThanOrEqual(1)
})

test('a settlement that Redis missed is made up when it is back', async () => {
  const server = await startRedis()
  const front = await startRedisFront(server.port)
  const one = await replica(`redis://127.0.0.1:${front.port}`, { given: { reservationMs: 3_000 } })
  const watching = await replica(server.url)
  const plan = planOf({ own: { tokensPerMinute: 1_000 } })
  const { reservation } = await admit(one, plan, 1_000)
  front.cut()
  await until(() => one.store.state !== 'up', 'the loss is seen')
  reservation?.settle(10)
  await until(() => one.store.state === 'up', 'Redis is up again')
  let remaining = 0
  for (let round = 0; round < 100 && remaining === 0; round += 1) {
    remaining = (await admit(watching, plan, 0)).verdict.standings.tokens?.remaining ?? 0
    await systemClock.sleep(20)
  }
  expect(remaining).toBe(990)
})

test('a value of the wrong type is replaced and the request counted', async () => {
  const server = await startRedis()
  const one = await replica(server.url)
  await one.store.run(({ command }) => command('SET', 'corral:limit:{acme}:c:key_1', 'rubbish'))
  const plan = planOf({ own: { requestsPerMinute: 5 } })
  expect(await countAdmitted(one, plan, 20)).toBeLessThanOrEqual(6)
  expect(one.store.state).toBe('up')
  expect(one.store.stats.dataErrors).toBe(1)
})
