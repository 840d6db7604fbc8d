// What replicas do when Redis or one of them falls silent: they go on, at once, and agree again afterwards.

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { serve } from '../cli/corral.ts'
import { startRedis } from '../support/redis.ts'
import { ask, chatBody, isComplete, type Reply, start } from './ask.ts'
import { until } from './gateway.ts'
import { openReplicas, type Replica, type Replicas, watchForMixtures } from './replicas.ts'

const chat = '/api/chat'
const alone = { watchdog: { enabled: false } }
const node = { nodes: 1, numParallel: 4, speed: 20, answerTokens: [80, 80] as const, fleet: alone }

/** Long answers, and time to look at them. */
const wordy = { speed: 4, answerTokens: [4_000, 4_000] as const }

function body(num_ctx: number, num_predict = 5): Record<string, unknown> {
  return chatBody({ keep_alive: '10m', options: { num_ctx, num_predict } })
}

function askAll({ all }: Replicas, numCtx: number): Promise<Reply[]> {
  return Promise.all(all.map(({ url }) => ask(`${url}${chat}`, body(numCtx))))
}

function stateOf({ redis }: Replica): string {
  if (redis === null) throw new Error('no Redis')
  return redis.state
}

/** Sends one chat after the other to each replica until told to stop; gives all replies. */
function keepAsking({ all }: Replicas, numCtx: number): { stop(): Promise<Reply[]> } {
  const replies: Reply[] = []
  const going = { on: true }
  const clients = all.map(async ({ url }) => {
    while (going.on) replies.push(await ask(`${url}${chat}`, body(numCtx)))
  })
  return {
    async stop() {
      going.on = false
      await Promise.all(clients)
      return replies
    },
  }
}

test('a Redis that is stopped in its tracks costs no request and little time, and is used again when it goes on', async () => {
  const redis = await startRedis()
  const replicas = await openReplicas({ ...node, redis: redis.url, commandTimeoutMs: 25 })
  await askAll(replicas, 2_048)
  const load = keepAsking(replicas, 2_048)
  await systemClock.sleep(300)
  redis.freeze()
  await until(() => replicas.all.every((replica) => stateOf(replica) !== 'up'), 'Redis is left alone', 8_000)
  await systemClock.sleep(500)
  redis.thaw()
  await until(() => replicas.all.every((replica) => stateOf(replica) === 'up'), 'Redis is back', 8_000)
  await systemClock.sleep(1_500)
  const replies = await load.stop()
  expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
  expect(Math.max(...replies.map(({ totalMs }) => totalMs))).toBeLessThan(1_500)
  const watch = watchForMixtures(replicas)
  const contexts = replicas.all.flatMap(({ url }, index) =>
    Array.from({ length: 6 }, () => ask(`${url}${chat}`, body(1_024 * (index + 1)))),
  )
  expect((await Promise.all(contexts)).every(isComplete)).toBe(true)
  expect(watch.stop()).toEqual([])
})

test('idle replicas before a Redis that has stopped answer at once, also with options that nobody has asked for', async () => {
  const redis = await startRedis()
  const replicas = await openReplicas({ ...node, redis: redis.url, commandTimeoutMs: 25 })
  await askAll(replicas, 2_048)
  await until(() => replicas.all.every(({ app }) => app.fleet.activeAttempts === 0), 'all is over')
  redis.freeze()
  const [first] = await askAll(replicas, 1_024)
  expect(first !== undefined && isComplete(first), first?.text).toBe(true)
  redis.thaw()
})

test('a Redis that begins anew, empty, hears from the replicas what they run', async () => {
  const redis = await startRedis()
  const replicas = await openReplicas({ ...node, ...wordy, redis: redis.url })
  const [first, second] = replicas.all
  if (first === undefined || second === undefined) throw new Error('two replicas')
  await ask(`${first.url}${chat}`, body(2_048))
  const long = start(`${first.url}${chat}`, body(2_048, 4_000))
  await long.head
  await redis.restart()
  await until(() => replicas.all.every((replica) => stateOf(replica) === 'up'), 'Redis is back', 8_000)
  while (!/^\*[1-9]/.test(await redis.send('KEYS corral:{leases}:*'))) await systemClock.sleep(20)
  const watch = watchForMixtures(replicas)
  const other = start(`${second.url}${chat}`, body(1_024))
  await systemClock.sleep(700)
  expect(watch.stop()).toEqual([])
  expect([first, second].map(({ app }) => app.fleet.activeAttempts)).toEqual([1, 0])
  long.leave()
  expect(isComplete(await other.reply)).toBe(true)
})

test('what a replica held that was killed is free when its time is over', async () => {
  const redis = await startRedis()
  const replicas = await openReplicas({ ...node, ...wordy, count: 1, redis: redis.url })
  const [sim] = replicas.sims
  const [here] = replicas.all
  if (sim === undefined || here === undefined) throw new Error('one of each')
  const settings = [`redis.url=${redis.url}`, 'store.enabled=false', 'cache.enabled=false'].flatMap((each) => ['--set', each])
  const { running, url } = await serve(['--node', sim.url, ...settings])
  await running.until(/Redis is up/)
  const there = `${url}${chat}`
  expect(isComplete(await ask(there, body(2_048)))).toBe(true)
  start(there, body(2_048, 4_000)).reply.catch(() => undefined)
  await until(() => (sim.stats().byPath[chat] ?? 0) === 2, 'it runs there')
  const other = start(`${here.url}${chat}`, body(1_024))
  await systemClock.sleep(300)
  expect(here.app.fleet.activeAttempts).toBe(0)
  running.child.kill('SIGKILL')
  const killedAtMs = systemClock.nowMs()
  const reply = await other.reply
  expect(isComplete(reply), reply.text).toBe(true)
  const waitedMs = systemClock.nowMs() - killedAtMs
  expect(waitedMs).toBeGreaterThan(1_000)
  expect(waitedMs).toBeLessThan(6_000)
})

test('a replica that stops in good order gives back at once', async () => {
  const redis = await startRedis()
  const replicas = await openReplicas({ ...node, redis: redis.url })
  const [first, second] = replicas.all
  if (first === undefined || second === undefined) throw new Error('two replicas')
  await ask(`${first.url}${chat}`, body(2_048))
  await first.app.close(0)
  const reply = await ask(`${second.url}${chat}`, body(1_024))
  expect(isComplete(reply), reply.text).toBe(true)
  expect(reply.totalMs).toBeLessThan(700)
})

test('while the lease is held requests cost no call to Redis', async () => {
  const redis = await startRedis()
  const replicas = await openReplicas({ ...node, count: 1, redis: redis.url })
  const [here] = replicas.all
  if (here?.redis === null || here?.redis === undefined) throw new Error('a replica with Redis')
  await ask(`${here.url}${chat}`, body(2_048))
  const send = (): Promise<Reply> => ask(`${here.url}${chat}`, body(2_048))
  const lines = (await redis.send('INFO commandstats')).match(/cmdstat_evalsha:calls=(\d+)/)
  const countedMs = systemClock.nowMs()
  const long = start(`${here.url}${chat}`, body(2_048, 80))
  await long.head
  const beforeMs = systemClock.nowMs()
  let count = 0
  while (systemClock.nowMs() - beforeMs < 1_000) {
    await send()
    count += 1
  }
  const after = (await redis.send('INFO commandstats')).match(/cmdstat_evalsha:calls=(\d+)/)
  const calls = Number(after?.[1]) - Number(lines?.[1])
  expect(count).toBeGreaterThan(5)
  // One renewal a second, however long the machine took, and three askings around them at most.
  expect(calls).toBeLessThanOrEqual(3 + Math.ceil((systemClock.nowMs() - countedMs) / 1_000))
})
