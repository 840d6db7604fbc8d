// What one failure does to the others: nobody pays twice for a stalled Redis, a hiccup is over with a trial, and Redis counts as back
// when it takes writes.
import { expect, onTestFinished, test } from 'vitest'

import { systemClock, type Clock } from '../../src/base/clock.ts'
import { answerInTime } from '../../src/store/redis-deadline.ts'
import { createRedis } from '../../src/store/redis.ts'
import { skipped, type RedisState, type RedisStore } from '../../src/store/redis-store.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import { until } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'

async function open(url: string, options: Readonly<Record<string, unknown>> = {}): Promise<{ store: RedisStore; states: RedisState[] }> {
  const states: RedisState[] = []
  const deps = { clock: systemClock, random: () => 0.5, onState: (state: RedisState) => states.push(state) }
  const store = createRedis(redisOptions.parse({ url, ...options }), deps)
  onTestFinished(() => store.close())
  store.start()
  await until(() => store.state === 'up', 'Redis is up')
  return { store, states }
}

const write = (store: RedisStore) => store.run(({ command }) => command('INCR', 'n'))

test('after the first timeout nobody asks until a trial has answered', async () => {
  const server = await startRedis()
  const { store, states } = await open(server.url, { commandTimeoutMs: 300 })
  server.freeze()
  expect(await write(store)).toBe(skipped)
  expect(store.state).toBe('probing')
  expect(write(store)).toBe(skipped)
  await until(() => store.state === 'down', 'Redis is left alone')
  expect(states).toEqual(['up', 'down'])
})

test('a call that began before the doubt sends no further command', async () => {
  const server = await startRedis()
  const { store } = await open(server.url, { commandTimeoutMs: 300 })
  const doubt = Promise.withResolvers<void>()
  const begun = store.run(async ({ command }) => {
    await doubt.promise
    return command('INCR', 'n')
  })
  server.freeze()
  expect(await store.run(({ command }) => command('GET', 'a'))).toBe(skipped)
  doubt.resolve()
  expect(await begun).toBe(skipped)
  server.thaw()
  await until(() => store.state === 'up', 'Redis is up again')
  expect(await store.run(({ command }) => command('GET', 'n'))).toBe(null)
})

test('a hiccup is dispelled by the trial: Redis is asked again at once and nothing is told', async () => {
  const server = await startRedis()
  const { store, states } = await open(server.url, { commandTimeoutMs: 300, flappingHoldMs: 60_000 })
  for (let round = 0; round < 3; round += 1) {
    server.freeze()
    expect(await write(store)).toBe(skipped)
    server.thaw()
    await until(() => store.state !== 'probing', 'the trial is over')
    expect(store.state).toBe('up')
    expect(await write(store)).toEqual(expect.any(Number))
  }
  expect(states).toEqual(['up'])
})

interface LastingFault {
  readonly name: string
  readonly begin: string
  readonly end: string
}

const lastingFaults: readonly LastingFault[] = [
  { name: '-OOM', begin: 'CONFIG SET maxmemory 1', end: 'CONFIG SET maxmemory 0' },
  { name: '-READONLY', begin: 'REPLICAOF 127.0.0.1 1', end: 'REPLICAOF NO ONE' },
]

test.each(lastingFaults)('is back within a second after $name of two seconds, with the hold at its default', async ({ begin, end }) => {
  const server = await startRedis()
  const { store, states } = await open(server.url, { commandTimeoutMs: 300 })
  await server.send(begin)
  const untilMs = systemClock.nowMs() + 2_000
  while (systemClock.nowMs() < untilMs) {
    await write(store)
    await systemClock.sleep(5)
  }
  expect(states).toEqual(['up', 'down'])
  await server.send(end)
  const endedMs = systemClock.nowMs()
  await until(() => store.state === 'up', 'Redis is up again')
  expect(systemClock.nowMs() - endedMs).toBeLessThan(1_000)
  expect(await write(store)).toEqual(expect.any(Number))
})

test('a Redis that stalls every other half second is left alone for the hold after its second stall', async () => {
  const server = await startRedis()
  const { store, states } = await open(server.url, { commandTimeoutMs: 100, probeAfterMs: 100, flappingHoldMs: 3_000 })
  let asked = 0
  const untilMs = systemClock.nowMs() + 4_000
  let [toggleMs, frozen] = [systemClock.nowMs(), false]
  while (systemClock.nowMs() < untilMs) {
    if (systemClock.nowMs() >= toggleMs) {
      frozen = !frozen
      if (frozen) server.freeze()
      else server.thaw()
      toggleMs += 500
    }
    if ((await write(store)) !== skipped) asked += 1
    await systemClock.sleep(5)
  }
  server.thaw()
  expect(asked).toBeGreaterThan(0)
  expect(states).toEqual(['up', 'down', 'up', 'down'])
})

/** A clock whose timers come late by `lateMs`. */
function lateClock(lateMs: number): Clock {
  return { ...systemClock, after: (delayMs, action) => systemClock.after(delayMs + lateMs, action) }
}

test('a deadline is sharp where timers are punctual, and gives time back where they are late', async () => {
  const never = new Promise<unknown>(() => {})
  const took = async (clock: Clock): Promise<number> => {
    const startMs = systemClock.nowMs()
    await expect(answerInTime(never, 50, clock)).rejects.toMatchObject({ name: 'RedisFailure', kind: 'timeout' })
    return systemClock.nowMs() - startMs
  }
  expect(await took(lateClock(40))).toBeGreaterThanOrEqual(50 + 40 + 3 * (40 + 40) - 5)
  // Late by the machine's own doing at most now and then.
  const calm = await Promise.all(Array.from({ length: 5 }, () => took(systemClock)))
  expect(Math.min(...calm)).toBeLessThan(200)
})
