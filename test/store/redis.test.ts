// Redis against a real server: what a caller sees when it is there, and that it sees only `skipped` when it is not.
import { connect } from 'node:net'

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createRedis } from '../../src/store/redis.ts'
import { skipped, type RedisState, type RedisStore } from '../../src/store/redis-store.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import { until } from '../support/gateway.ts'
import { startRedisFront } from '../support/redis-front.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'

interface Opened {
  readonly store: RedisStore
  readonly states: RedisState[]
}

/** A connected store. Its timeout is wide where a test is not about time, because the machine may be busy. */
async function open(url: string, options: Readonly<Record<string, unknown>> = {}): Promise<Opened> {
  const states: RedisState[] = []
  const store = createRedis(redisOptions.parse({ url, ...options }), {
    clock: systemClock,
    random: () => 0.5,
    onState: (state) => states.push(state),
  })
  onTestFinished(() => store.close())
  store.start()
  await until(() => store.state === 'up', 'Redis is up')
  return { store, states }
}

const patient = { commandTimeoutMs: 1_000 }

const get = async (store: RedisStore, key: string): Promise<unknown> => store.run(({ command }) => command('GET', key))
const set = async (store: RedisStore, key: string, value: string): Promise<unknown> =>
  store.run(({ command }) => command('SET', key, value))

async function timed<T>(work: () => Promise<T> | T): Promise<{ readonly value: T; readonly tookMs: number }> {
  const startMs = systemClock.nowMs()
  const value = await work()
  return { value, tookMs: systemClock.nowMs() - startMs }
}

test('runs commands and gives texts or bytes', async () => {
  const server = await startRedis()
  const { store } = await open(server.url, patient)
  expect(await set(store, 'a', 'été')).toBe('OK')
  expect(await get(store, 'a')).toBe('été')
  expect(await store.run(({ commandBuffer }) => commandBuffer('GET', 'a'))).toEqual(Buffer.from('été'))
  expect(store.stats).toEqual({ answered: 3, skipped: 0, dataErrors: 0, underWay: 0 })
})

test('is skipped synchronously before it is connected', () => {
  const store = createRedis(redisOptions.parse({ url: 'redis://127.0.0.1:1' }), { clock: systemClock, random: () => 0 })
  onTestFinished(() => store.close())
  store.start()
  expect(store.run(({ command }) => command('GET', 'a'))).toBe(skipped)
})

test('a frozen Redis costs one timeout, then nothing, and is back within a second of its return', async () => {
  const server = await startRedis()
  const { store, states } = await open(server.url)
  server.freeze()
  const first = await timed(() => Promise.all(Array.from({ length: 8 }, () => get(store, 'a'))))
  expect(first.value).toEqual(Array.from({ length: 8 }, () => skipped))
  expect(first.tookMs).toBeLessThan(150)
  await until(() => {
    void get(store, 'a')
    return store.state !== 'up'
  }, 'the breaker opens')
  expect(store.run(({ command }) => command('GET', 'a'))).toBe(skipped)
  await systemClock.sleep(1_200)
  server.thaw()
  const { tookMs } = await timed(() => until(() => store.state === 'up', 'Redis is up again'))
  expect(tookMs).toBeLessThan(1_000)
  expect(await set(store, 'a', '1')).toBe('OK')
  expect(states).toEqual(['up', 'down', 'up'])
})

test('an answer that waited because this process was busy is taken', async () => {
  const server = await startRedis()
  const { store } = await open(server.url, { commandTimeoutMs: 200 })
  await set(store, 'a', '1')
  for (let round = 0; round < 10; round += 1) {
    const asked = get(store, 'a')
    const busyUntilMs = systemClock.nowMs() + 300
    while (systemClock.nowMs() < busyUntilMs);
    expect(await asked).toBe('1')
  }
  expect(store.stats.skipped).toBe(0)
})

test('a frozen Redis collects a bounded number of commands', async () => {
  const server = await startRedis()
  const { store } = await open(server.url, { callsMax: 64 })
  server.freeze()
  for (let round = 0; round < 200; round += 1) {
    for (let index = 0; index < 100; index += 1) void store.run(({ command }) => command('INCR', 'sent'))
    await systemClock.sleep(2)
  }
  server.thaw()
  await until(() => store.state === 'up', 'Redis is up again', 8_000)
  const ran = await store.run(({ command }) => command('GET', 'sent'))
  expect(Number(ran)).toBeLessThanOrEqual(128)
})

test('a killed Redis is skipped at once and used again within a second of its restart', async () => {
  const server = await startRedis()
  const { store } = await open(server.url, { ...patient, flappingHoldMs: 0 })
  await server.kill()
  const { value, tookMs } = await timed(() => get(store, 'a'))
  expect(value).toBe(skipped)
  expect(tookMs).toBeLessThan(200)
  await systemClock.sleep(700)
  await server.restart()
  const back = await timed(() => until(() => store.state === 'up', 'Redis is up again'))
  expect(back.tookMs).toBeLessThan(1_000)
})

test('a Redis that fails again soon after its return is left alone for the hold', async () => {
  const server = await startRedis()
  const { store } = await open(server.url, { ...patient, flappingHoldMs: 1_500 })
  await server.kill()
  await until(() => store.state !== 'up', 'the loss is seen')
  await server.restart()
  await until(() => store.state === 'up', 'Redis is up again')
  await server.kill()
  await until(() => store.state !== 'up', 'the second loss is seen')
  await server.restart()
  const { tookMs } = await timed(() => until(() => store.state === 'up', 'Redis is up again'))
  expect(tookMs).toBeGreaterThan(1_000)
})

async function expectSkippedAndBack(server: RedisServer, provoke: string, cure: string): Promise<void> {
  const { store } = await open(server.url, { ...patient, flappingHoldMs: 0 })
  await server.send(provoke)
  const answers = await Promise.all(Array.from({ length: 10 }, () => set(store, 'a', '1')))
  expect(new Set(answers)).toEqual(new Set([skipped]))
  await server.send(cure)
  await until(() => store.state === 'up', 'Redis is up again')
  await until(() => store.stats.underWay === 0, 'nothing is under way')
  expect(await set(store, 'a', '1')).toBe('OK')
}

test('a full Redis (-OOM) is skipped', async () => {
  const server = await startRedis({ arguments: ['--maxmemory-policy', 'noeviction'] })
  await expectSkippedAndBack(server, 'CONFIG SET maxmemory 1', 'CONFIG SET maxmemory 0')
})

test('a replica (-READONLY) is skipped and the connection made anew', async () => {
  const server = await startRedis()
  await expectSkippedAndBack(server, 'REPLICAOF 127.0.0.1 1', 'REPLICAOF NO ONE')
})

test('a script that hogs Redis (-BUSY) is skipped', async () => {
  const server = await startRedis({ arguments: ['--busy-reply-threshold', '20'] })
  const { store } = await open(server.url, { ...patient, flappingHoldMs: 0 })
  const hog = connect({ port: server.port, host: '127.0.0.1' })
  onTestFinished(() => void hog.destroy())
  hog.on('error', () => {})
  hog.write('EVAL "while true do end" 0\r\n')
  await until(() => store.stats.underWay === 0, 'nothing is under way')
  await systemClock.sleep(100)
  expect(await get(store, 'a')).toBe(skipped)
  await server.send('SCRIPT KILL')
  let answer: unknown = skipped
  for (let round = 0; round < 200 && answer === skipped; round += 1) {
    answer = await set(store, 'a', '1')
    await systemClock.sleep(10)
  }
  expect(answer).toBe('OK')
})

test('a wrong password (-NOAUTH) never rejects', async () => {
  const server = await startRedis({ arguments: ['--requirepass', 'right'] })
  const store = createRedis(redisOptions.parse({ url: server.url }), { clock: systemClock, random: () => 0 })
  onTestFinished(() => store.close())
  store.start()
  await systemClock.sleep(300)
  expect(await get(store, 'a')).toBe(skipped)
  const { store: trusted } = await open(server.url.replace('//', '//:right@'), patient)
  expect(await set(trusted, 'a', '1')).toBe('OK')
})

test('a key of the wrong type is deleted, counted, and says nothing about Redis', async () => {
  const server = await startRedis()
  const { store } = await open(server.url, patient)
  const script = store.script("return redis.call('HINCRBY', KEYS[1], 'n', 1)")
  await set(store, '{t}:counter', 'text')
  for (let index = 0; index < 20; index += 1) await store.run(({ command }) => command('LPUSH', '{t}:counter', 'x'))
  expect(store.stats.dataErrors).toBe(20)
  expect(store.state).toBe('up')
  expect(await script.run(['{t}:counter'], [])).toBe(skipped)
  expect(await script.run(['{t}:counter'], [])).toBe(1)
})

test('a script survives SCRIPT FLUSH and a restart, and runs once per call', async () => {
  const server = await startRedis()
  const { store } = await open(server.url, patient)
  const script = store.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
  expect(await script.run(['n'], [2])).toBe(2)
  await server.send('SCRIPT FLUSH')
  expect(await script.run(['n'], [3])).toBe(5)
})

test('a command whose answer is lost is not sent again', async () => {
  const server = await startRedis()
  const front = await startRedisFront(server.port)
  const { store } = await open(`redis://127.0.0.1:${front.port}`, { ...patient, flappingHoldMs: 0 })
  front.losing = true
  expect(await store.run(({ command }) => command('INCR', 'n'))).toBe(skipped)
  front.losing = false
  await until(() => store.state === 'up', 'Redis is up again')
  expect(await get(store, 'n')).toBe('1')
})

test('what is published reaches the listener, and a lost connection is told as a gap', async () => {
  const server = await startRedis()
  const { store } = await open(server.url, { ...patient, flappingHoldMs: 0 })
  const heard: string[] = []
  let gaps = 0
  const stop = store.subscribe('news', { onMessage: (message) => heard.push(message), onGap: () => (gaps += 1) })
  await until(() => gaps === 1, 'listening began')
  expect(await store.publish('news', 'one')).toBe(1)
  await until(() => heard.length === 1, 'the message came')
  await server.kill()
  await server.restart()
  await until(() => gaps === 2, 'listening began again')
  await until(() => store.state === 'up', 'Redis is up again')
  await store.publish('news', 'two')
  await until(() => heard.length === 2, 'the second message came')
  expect(heard).toEqual(['one', 'two'])
  stop()
  await until(() => store.state === 'up', 'Redis is up')
  let listeners: unknown = 1
  for (let round = 0; round < 100 && listeners !== 0; round += 1) listeners = await store.publish('news', 'three')
  expect(listeners).toBe(0)
})

test('a bug in the work is not hidden', async () => {
  const server = await startRedis()
  const { store } = await open(server.url, patient)
  await expect(
    store.run(() => {
      throw new TypeError('a bug')
    }),
  ).rejects.toThrow('a bug')
  expect(store.state).toBe('up')
})
