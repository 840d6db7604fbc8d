/** caching.md §11 F2, F4 and F7: a Redis behind a network that loses, changes or refuses what it carries; and what waits for it meanwhile. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { WriteQueue } from '../../src/cache/write-queue.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { skipped } from '../../src/store/redis-store.ts'
import { collect } from '../support/collect.ts'
import { until } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { newCall, requestOf, take, type Taken } from './ask.ts'
import { chat } from './cached.ts'
import { openRedis, replicaOn, type Replica } from './redis-replica.ts'
import { chatLines, scriptedUpstream } from './scripted.ts'

type Fault = 'none' | 'loading' | 'silent' | 'garbled'

interface Network {
  readonly url: string
  fault: Fault
}

/** A line to a Redis that does as the test says. */
async function networkTo(port: number): Promise<Network> {
  const random = randomSequence(11)
  const sockets = new Set<Socket>()
  const network = { url: '', fault: 'none' as Fault }
  const listener = createServer((client) => {
    const server = connect(port, '127.0.0.1')
    for (const socket of [client, server]) sockets.add(socket.on('error', () => socket.destroy()))
    client.on('data', (bytes) => {
      if (network.fault === 'silent') return
      const commands = bytes.toString('latin1').match(/\*\d+\r\n\$/g)?.length ?? 0
      if (network.fault === 'loading') client.write('-LOADING Redis is loading the dataset in memory\r\n'.repeat(commands))
      else server.write(bytes)
    })
    server.on('data', (bytes: Buffer) => {
      if (network.fault === 'silent') return
      client.write(network.fault === 'garbled' ? bytes.map((byte) => (random() < 0.01 ? Math.floor(random() * 256) : byte)) : bytes)
    })
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    listener.close()
  })
  const address = listener.address() as AddressInfo
  network.url = `redis://127.0.0.1:${address.port}`
  return network
}

/** Asks what the node answers with the same words. */
function asker() {
  const upstream = scriptedUpstream(systemClock, (call) => {
    const word = /"content":"(\w+)"/.exec(call.request.body.toString())?.[1] ?? ''
    call.begin(chatLines([word]).join('')).end()
  })
  const ask = ({ cache }: Replica, word: string): Promise<Taken> =>
    take(cache.layer(upstream.relay)(requestOf('/api/chat', chat(word)), newCall()))
  return { upstream, ask }
}

test.each<Fault>(['loading', 'silent', 'garbled'])(
  'F2 every answer is the right one over a %s line, and Redis serves when it is well',
  async (fault) => {
    const server = await startRedis()
    const network = await networkTo(server.port)
    const { ask } = asker()
    const far = await replicaOn(network.url, { redis: { commandTimeoutMs: 200, flappingHoldMs: 0 }, cache: { layers: { memory: false } } })
    const near = await replicaOn(server.url, { name: 'r2' })
    network.fault = fault
    for (let index = 0; index < 60; index += 1) {
      // Every question is asked twice: the second time Redis may have the answer.
      const word = `word${Math.floor(index / 2)}`
      const { status, text } = await ask(far, word)
      expect([status, text]).toEqual([200, chatLines([word]).join('')])
    }
    await far.cache.idle()
    network.fault = 'none'
    await until(() => far.redis.state === 'up', 'Redis is back', 15_000)
    await ask(near, 'afterwards')
    await near.cache.idle()
    expect((await ask(far, 'afterwards')).headers['cache-status']).toContain('detail=redis')
  },
)

test('F7 a hundred who ask at once while Redis is left alone send nothing: one trial finds it well', async () => {
  const server = await startRedis()
  const network = await networkTo(server.port)
  const redis = await openRedis(network.url, { commandTimeoutMs: 200 })
  const ask = (): Promise<unknown>[] => Array.from({ length: 100 }, async () => redis.run(({ command }) => command('INCR', 'n')))
  network.fault = 'silent'
  await Promise.all(ask())
  await until(() => redis.state === 'down', 'Redis is left alone')
  await server.send('CONFIG RESETSTAT')
  network.fault = 'none'
  const answers: unknown[] = []
  while (redis.state !== 'up') {
    answers.push(...(await Promise.all(ask())))
    await systemClock.sleep(1)
  }
  expect(answers.length).toBeGreaterThan(99)
  const calls = async (name: string): Promise<number> =>
    Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(await server.send('INFO commandstats'))?.[1] ?? 0)
  expect(await calls('set')).toBe(1)
  expect(await calls('incr')).toBe(answers.filter((answer) => answer !== skipped).length)
})

test('F4 what waits for a stalled layer takes 32 MiB at most, however much comes', () => {
  const queue = new WriteQueue()
  const before = process.memoryUsage().arrayBuffers
  let most = 0
  for (let index = 0; index < 4_000; index += 1) {
    const bytes = Buffer.alloc(500_000)
    queue.add({
      bytes: bytes.length,
      run: () => new Promise<boolean>(() => void bytes),
    })
    expect(queue.stats.queuedBytes).toBeLessThanOrEqual(32 * 1_048_576)
    if (index % 500 === 499) {
      collect()
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
    }
  }
  expect(queue.stats).toMatchObject({ queued: 67, dropped: 4_000 - 67 - 4 })
  // Two gigabytes went through; the collector gives buffers back a little later than it is asked to.
  expect(most).toBeLessThan(128 * 1_048_576)
})
