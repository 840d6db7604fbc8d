// The URLs that name a Redis, and that each kind is reached: one server, behind Sentinel, in a cluster.
import { createServer } from 'node:net'

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createRedis } from '../../src/store/redis.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import { parseRedisAddress } from '../../src/store/redis-address.ts'
import { reconnectDelayMs } from '../../src/store/redis-client.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import { until } from '../support/gateway.ts'
import { startRedis, startSentinel } from '../support/redis.ts'

const plain = { encrypted: false, username: null, password: null, primary: '', database: 0 }

test.each([
  ['redis://cache', { ...plain, kind: 'single', hosts: [{ host: 'cache', port: 6_379 }] }],
  [
    'redis://:p%40ss@10.0.0.1:7000/3',
    { ...plain, kind: 'single', hosts: [{ host: '10.0.0.1', port: 7_000 }], password: 'p@ss', database: 3 },
  ],
  [
    'rediss://me:pw@[::1]:6380',
    { ...plain, kind: 'single', hosts: [{ host: '::1', port: 6_380 }], encrypted: true, username: 'me', password: 'pw' },
  ],
  [
    'redis+sentinel://a:1,b:2/main/4',
    {
      ...plain,
      kind: 'sentinel',
      hosts: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
      primary: 'main',
      database: 4,
    },
  ],
  [
    'rediss+cluster://a,b:2',
    {
      ...plain,
      kind: 'cluster',
      hosts: [
        { host: 'a', port: 6_379 },
        { host: 'b', port: 2 },
      ],
      encrypted: true,
    },
  ],
])('%s is understood', (url, address) => {
  expect(parseRedisAddress(url)).toEqual(address)
})

test.each([
  '',
  'http://a',
  'redis://',
  'redis://a,b',
  'redis://a:0',
  'redis://a:99999',
  'redis://a/x',
  'redis+sentinel://a',
  'redis+cluster://a/1',
  'redis://%zz@a',
])('%j is refused, and the refusal does not repeat it', (url) => {
  expect(parseRedisAddress(url)).toBeNull()
  const refused = redisOptions.safeParse({ url: `${url}secret word` })
  expect(JSON.stringify(refused.error?.issues ?? [])).not.toContain('secret word')
})

test('the wait before a reconnection grows to half a second, with jitter, and never beyond', () => {
  expect([1, 2, 3, 4, 5, 50].map((attempt) => reconnectDelayMs(attempt, () => 0))).toEqual([50, 100, 200, 400, 500, 500])
  expect(reconnectDelayMs(50, () => 0.999)).toBeGreaterThan(300)
})

async function connected(url: string): Promise<RedisStore> {
  const store = createRedis(redisOptions.parse({ url, commandTimeoutMs: 1_000, flappingHoldMs: 0 }), {
    clock: systemClock,
    random: () => 0.5,
  })
  onTestFinished(() => store.close())
  store.start()
  await until(() => store.state === 'up', 'Redis is up', 10_000)
  return store
}

async function expectToWork(store: RedisStore): Promise<void> {
  expect(await store.run(({ command }) => command('SET', '{t}a', '1'))).toBe('OK')
  expect(await store.script("return redis.call('INCR', KEYS[1]) + redis.call('INCR', KEYS[2])").run(['{t}a', '{t}b'], [])).toBe(3)
  const heard: string[] = []
  let listening = false
  store.subscribe('c', { onMessage: (message) => heard.push(message), onGap: () => (listening = true) })
  await until(() => listening, 'listening began')
  await store.publish('c', 'x')
  await until(() => heard.length === 1, 'the message came')
}

test('a database other than the first is used', async () => {
  const server = await startRedis()
  const store = await connected(`${server.url}/3`)
  await store.run(({ command }) => command('SET', 'a', '1'))
  expect(await server.send('DBSIZE')).toBe(':0\r\n')
  await expectToWork(store)
})

test('Sentinel names the primary', async () => {
  const server = await startRedis()
  const sentinel = await startSentinel(server.port)
  await expectToWork(await connected(`redis+sentinel://127.0.0.1:${sentinel}/main`))
})

test('a cluster is used like one server', async () => {
  const server = await startRedis({
    arguments: ['--cluster-enabled', 'yes', '--cluster-port', String(await freeBusPort()), '--cluster-announce-ip', '127.0.0.1'],
  })
  await server.send('CLUSTER ADDSLOTSRANGE 0 16383')
  await expect.poll(() => server.send('CLUSTER INFO'), { timeout: 5_000 }).toContain('cluster_state:ok')
  await expectToWork(await connected(`redis+cluster://127.0.0.1:${server.port}`))
})

/** The port of the cluster bus is 10,000 above the server's unless it is given, which may be no port at all. */
async function freeBusPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
