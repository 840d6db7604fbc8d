// The Redis layer on real servers: what it keeps, what it finds broken, and that its absence is a miss.
import { createHash } from 'node:crypto'
import { createServer } from 'node:net'

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createRedisLayer } from '../../src/cache/redis-layer.ts'
import type { SecondLayer, StoredFacts } from '../../src/cache/second-layer.ts'
import type { Tags } from '../../src/cache/tags.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { until } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { newCall, requestOf, take, type Taken } from './ask.ts'
import { chat } from './cached.ts'
import { embeds } from './embedding-upstream.ts'
import { openRedis, replicaOn, type Replica } from './redis-replica.ts'
import { chatLines, scriptedUpstream } from './scripted.ts'

const tags: Tags = { tenant: 'a', kind: 'inference', digest: 'd1' }
const facts: StoredFacts = { ageMs: 0, freshForMs: 60_000, staleMs: 0, originMs: 10, tags, replaces: false }
const keyOf = (text: string): string => createHash('sha256').update(text).digest('hex')
/** Its own clock stands still, so a busy machine ends no lookup of many rounds. */
const layerOn = (redis: RedisStore, isCluster = false): SecondLayer => createRedisLayer({ redis, clock: manualClock(), isCluster })

async function ofRedis(name: string, redis: RedisStore, ...values: (string | Buffer)[]): Promise<unknown> {
  return redis.run(({ commandBuffer }) => commandBuffer(name, ...values))
}

async function names(redis: RedisStore): Promise<string[]> {
  const found = await redis.run(({ command }) => command('KEYS', '*:cache:*'))
  return Array.isArray(found) ? found.map(String).toSorted() : []
}

async function onlyName(redis: RedisStore): Promise<string> {
  const [name] = await names(redis)
  if (name === undefined) throw new Error('nothing in Redis')
  return name
}

test('keeps the first entry of a key unless another replaces it, for as long as it may serve', async () => {
  const redis = await openRedis((await startRedis()).url)
  const layer = layerOn(redis)
  await layer.put(keyOf('k'), Buffer.from('first'), { ...facts, staleMs: 5_000 })
  await layer.put(keyOf('k'), Buffer.from('second'), facts)
  expect((await layer.get(keyOf('k'), tags))?.bytes.toString()).toBe('first')
  await layer.put(keyOf('r'), Buffer.from('first'), facts)
  await layer.put(keyOf('r'), Buffer.from('second'), { ...facts, replaces: true })
  expect((await layer.get(keyOf('r'), tags))?.bytes.toString()).toBe('second')
  await ofRedis('DEL', redis, `corral:cache:{${Number.parseInt(keyOf('r').slice(0, 2), 16) & 63}}:${keyOf('r')}`)
  expect(await layer.get(keyOf('other'), tags)).toBeNull()
  const leftMs = Number(await redis.run(async ({ command }) => command('PTTL', await onlyName(redis))))
  expect(leftMs).toBeGreaterThan(55_000)
  expect(leftMs).toBeLessThanOrEqual(65_000)
})

test('ages are those of the clock of Redis, whatever clock a replica has', async () => {
  const server = await startRedis()
  const layer = layerOn(await openRedis(server.url))
  await layer.put(keyOf('k'), Buffer.from('x'), { ...facts, ageMs: 5_000 })
  const other = createRedisLayer({ redis: await openRedis(server.url), clock: manualClock(9e12), isCluster: false })
  const found = await other.get(keyOf('k'), tags)
  expect(found?.ageMs).toBeGreaterThanOrEqual(5_000)
  expect(found?.ageMs).toBeLessThan(15_000)
  expect(found?.freshForMs).toBeGreaterThan(50_000)
  expect(found?.freshForMs).toBeLessThanOrEqual(60_000)
})

test('an entry that is over is not written', async () => {
  const redis = await openRedis((await startRedis()).url)
  expect(await layerOn(redis).put(keyOf('k'), Buffer.from('x'), { ...facts, freshForMs: -1 })).toBe(false)
  expect(await names(redis)).toEqual([])
})

test('I7 values swapped between two keys are two misses', async () => {
  const redis = await openRedis((await startRedis()).url)
  const layer = layerOn(redis)
  await layer.put(keyOf('a'), Buffer.from('of a'), facts)
  await layer.put(keyOf('b'), Buffer.from('of b'), facts)
  const [one = '', two = ''] = await names(redis)
  await ofRedis('RENAME', redis, one, 'tmp')
  await ofRedis('RENAME', redis, two, one)
  await ofRedis('RENAME', redis, 'tmp', two)
  for (const key of ['a', 'b']) expect((await layer.get(keyOf(key), tags))?.bytes).toHaveLength(0)
  expect((await layer.getMany?.([keyOf('a')], tags))?.get(keyOf('a'))?.bytes).toHaveLength(0)
})

test('every changed or missing byte of a value is found', async () => {
  const redis = await openRedis((await startRedis()).url)
  const layer = layerOn(redis)
  await layer.put(keyOf('k'), Buffer.from('entry'), facts)
  const name = await onlyName(redis)
  const value = await ofRedis('GET', redis, name)
  if (!Buffer.isBuffer(value)) throw new Error('no value')
  for (let at = 0; at < value.length; at += 1) {
    const changed = Buffer.from(value)
    changed[at] = (changed[at] ?? 0) ^ 1
    await ofRedis('SET', redis, name, changed)
    expect((await layer.get(keyOf('k'), tags))?.bytes, `byte ${at}`).toHaveLength(0)
    await ofRedis('SET', redis, name, value.subarray(0, at))
    expect((await layer.get(keyOf('k'), tags))?.bytes, `${at} bytes`).toHaveLength(0)
  }
})

test('F2 a value that is garbage is a miss, is deleted and counted, and the answer comes from upstream', async () => {
  const server = await startRedis()
  const { first, second, ask } = await pair(server.url)
  await take(ask(first, 'x'))
  await first.cache.idle()
  const name = await onlyName(first.redis)
  await ofRedis('SET', first.redis, name, Buffer.from('garbage that is no entry at all'))
  const answer = await take(ask(second, 'x'))
  expect(answer).toMatchObject({ status: 200, cache: 'miss' })
  expect(second.cache.stats().layers[0]).toMatchObject({ corrupt: 1, hits: 0 })
  await second.cache.idle()
  // The first writer wins, so the new entry is there only if the broken one was deleted.
  expect((await take(ask(await replicaOn(server.url, { name: 'r3' }), 'x'))).cache).toBe('hit')
})

/** Two replicas before one scripted upstream. */
async function pair(url: string): Promise<{ first: Replica; second: Replica; upstream: ReturnType<typeof scriptedUpstream>; ask: Ask }> {
  const upstream = scriptedUpstream(systemClock, (call) => call.begin(chatLines(['hello']).join('')).end())
  const ask: Ask = ({ cache }, text) => cache.layer(upstream.relay)(requestOf('/api/chat', chat(text)), newCall())
  return { first: await replicaOn(url), second: await replicaOn(url, { name: 'r2' }), upstream, ask }
}

type Ask = (replica: Pick<Replica, 'cache'>, text: string) => ReturnType<ReturnType<Replica['cache']['layer']>>

test('an answer of one replica is a hit on another, with its age', async () => {
  const { first, second, upstream, ask } = await pair((await startRedis()).url)
  const live = await take(ask(first, 'x'))
  await first.cache.idle()
  const hit = await take(ask(second, 'x'))
  expect(hit.text).toBe(live.text)
  expect(hit.headers['cache-status']).toMatch(/^corral;hit;ttl=\d+;detail=redis$/)
  expect(upstream.calls).toHaveLength(1)
  expect((await take(ask(second, 'x'))).headers['cache-status']).toContain('detail=memory')
})

test('purges one key for all forms, and says that it cannot find others', async () => {
  const redis = await openRedis((await startRedis()).url)
  const layer = layerOn(redis)
  for (const form of ['', 's', 'u', 'w']) await layer.put(keyOf('k') + form, Buffer.from('x'), facts)
  await layer.put(keyOf('other'), Buffer.from('x'), facts)
  const none = { tenant: null, kind: null, digest: null, key: null }
  expect(layer.purge({ ...none, tenant: 'a' })).toBeNull()
  expect(await layer.purge({ ...none, key: keyOf('k') })).toBe(4)
  expect(await names(redis)).toHaveLength(1)
})

test('E6 500 keys take at most two round trips, of at most 128 keys per command', async () => {
  const redis = await openRedis((await startRedis()).url)
  const keys = Array.from({ length: 500 }, (_, index) => keyOf(`k${index}`))
  const kept = keys.filter((_, index) => index % 3 !== 0)
  await layerOn(redis).putMany?.(
    kept.map((key) => ({ key, bytes: Buffer.from(`value of ${key}`) })),
    facts,
  )
  const sizes: number[][] = []
  const counting: Pick<RedisStore, 'prefix' | 'run'> = {
    prefix: redis.prefix,
    run: (work) =>
      redis.run((commands) => {
        const own: number[] = []
        sizes.push(own)
        return work({
          command: commands.command,
          commandBuffer: (name, ...values) => {
            own.push(values.length)
            return commands.commandBuffer(name, ...values)
          },
        })
      }),
  }
  const found = await createRedisLayer({ redis: counting, clock: manualClock(), isCluster: false }).getMany?.(keys, tags)
  expect([...(found?.keys() ?? [])].toSorted()).toEqual(kept.toSorted())
  for (const key of kept) expect(found?.get(key)?.bytes.toString()).toBe(`value of ${key}`)
  expect(sizes).toEqual([
    [128, 128],
    [128, 116],
  ])
})

test('E6 on a Cluster each command keeps to one slot', async () => {
  const server = await startRedis({
    arguments: ['--cluster-enabled', 'yes', '--cluster-port', String(await freeBusPort()), '--cluster-announce-ip', '127.0.0.1'],
  })
  await server.send('CLUSTER ADDSLOTSRANGE 0 16383')
  await expect.poll(() => server.send('CLUSTER INFO'), { timeout: 5_000 }).toContain('cluster_state:ok')
  const layer = layerOn(await openRedis(`redis+cluster://127.0.0.1:${server.port}`), true)
  const keys = Array.from({ length: 500 }, (_, index) => keyOf(`k${index}`))
  await layer.putMany?.(
    keys.map((key) => ({ key, bytes: Buffer.from(key) })),
    facts,
  )
  const found = await layer.getMany?.(keys, tags)
  expect(found?.size).toBe(500)
  for (const key of keys) expect(found?.get(key)?.bytes.toString()).toBe(key)
  expect(await layer.purge({ tenant: null, kind: null, digest: null, key: keys[0] ?? '' })).toBe(1)
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

test('embeddings of one replica are found by another, in one request each', async () => {
  const server = await startRedis()
  const node = embeds(systemClock)
  const ask = ({ cache }: Replica, input: readonly string[]): Promise<Taken> =>
    take(cache.layer(node.relay)(requestOf('/api/embed', { model: 'e', input }), newCall()))
  const first = await replicaOn(server.url)
  const texts = Array.from({ length: 300 }, (_, index) => `text ${index}`)
  await ask(first, texts)
  await first.cache.idle()
  const second = await replicaOn(server.url, { name: 'r2' })
  const answer = await ask(second, [...texts, 'a new one', texts[0] ?? ''])
  expect(answer.headers['x-corral-cache']).toBe('partial')
  expect(node.calls.map(({ length }) => length)).toEqual([300, 1])
  expect((await ask(second, texts)).headers['cache-status']).toContain('detail=memory')
})

test('F1 a Redis that stops in its tracks costs one timeout, then nothing, and is used again afterwards', async () => {
  const server = await startRedis()
  const { first, ask } = await pair(server.url)
  await take(ask(first, 'x'))
  await first.cache.idle()
  const { redis, layer, cache } = await replicaOn(server.url, { redis: { commandTimeoutMs: 25 } })
  expect((await layer.get('00'.repeat(32), tags)) ?? null).toBeNull()
  server.freeze()
  const startMs = systemClock.nowMs()
  const early = Array.from({ length: 20 }, (_, index) => take(ask({ cache }, `early ${index}`)))
  for (const answer of await Promise.all(early)) expect(answer.status).toBe(200)
  expect(systemClock.nowMs() - startMs).toBeLessThan(1_000)
  await until(() => redis.state !== 'up', 'Redis is left alone')
  for (let index = 0; index < 20; index += 1) expect(layer.get('00'.repeat(32), tags)).toBeNull()
  expect(layer.put('00'.repeat(32), Buffer.from('x'), facts)).toBeNull()
  server.thaw()
  await until(() => redis.state === 'up', 'Redis is back')
  expect((await take(ask({ cache }, 'x'))).cache).toBe('hit')
})

test.each([
  ['killed', async (server: Awaited<ReturnType<typeof startRedis>>) => server.kill()],
  ['out of memory', async (server: Awaited<ReturnType<typeof startRedis>>) => server.send('CONFIG SET maxmemory 1')],
  ['a replica of nobody', async (server: Awaited<ReturnType<typeof startRedis>>) => server.send('REPLICAOF 127.0.0.1 1')],
  ['closed by a password', async (server: Awaited<ReturnType<typeof startRedis>>) => server.send('CONFIG SET requirepass secret')],
])('F2 answers all come from upstream when Redis is %s', async (_, spoil) => {
  const server = await startRedis()
  const { first, upstream, ask } = await pair(server.url)
  await spoil(server)
  for (let index = 0; index < 10; index += 1) expect((await take(ask(first, `x${index}`))).status).toBe(200)
  expect(upstream.calls).toHaveLength(10)
  await first.cache.idle()
  expect((await take(ask(first, 'x0'))).cache).toBe('hit')
})

test('F4 writes that Redis does not take are bounded and dropped, oldest first', async () => {
  const server = await startRedis()
  const { redis, cache } = await replicaOn(server.url, { redis: { commandTimeoutMs: 10_000 } })
  server.freeze()
  const bytes = Buffer.alloc(10_000)
  for (let index = 0; index < 5_000; index += 1) cache.store.put(keyOf(`k${index}`), bytes, { tags, ttlMs: 60_000, originMs: 1 })
  const writes = cache.stats().layers[0]?.writes
  expect(writes?.queued).toBe(1_000)
  expect(writes?.dropped).toBe(5_000 - 1_000 - 4)
  server.thaw()
  await cache.idle()
  expect(await names(redis)).toHaveLength(1_004)
})
