// One upstream call over replicas that share a Redis; without it, one for each of them.
import { expect, onTestFinished, test } from 'vitest'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import { createRedisLease, type RedisLease } from '../../src/cache/lease.ts'
import type { Turn } from '../../src/cache/second-layer.ts'
import { type ManualClock, manualClock } from '../fleet/manual-clock.ts'
import { until } from '../support/gateway.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'
import { newCall, requestOf, take, type Taken } from './ask.ts'
import { chat } from './cached.ts'
import { openRedis, replicaOn, type Replica } from './redis-replica.ts'
import { chatLines, scriptedUpstream, type Upstream } from './scripted.ts'

interface Fleet {
  readonly server: RedisServer
  readonly replicas: readonly Replica[]
  readonly upstream: Upstream
  /** The same question to each replica, `clients` times. */
  askAll(text: string, clients?: number): Promise<Taken>[]
}

async function fourReplicas(settings: Readonly<Record<string, unknown>> = {}): Promise<Fleet> {
  const server = await startRedis()
  const upstream = scriptedUpstream(systemClock)
  const replicas = await Promise.all(['r1', 'r2', 'r3', 'r4'].map((name) => replicaOn(server.url, { name, redis: settings })))
  const ask = ({ cache }: Replica, text: string): Promise<Taken> =>
    take(cache.layer(upstream.relay)(requestOf('/api/chat', chat(text)), newCall()))
  return {
    server,
    replicas,
    upstream,
    askAll: (text, clients = 1) => replicas.flatMap((replica) => Array.from({ length: clients }, () => ask(replica, text))),
  }
}

const waiting = ({ replicas }: Fleet): number => replicas.reduce((sum, { lease }) => sum + lease.stats.waiting, 0)
const lines = chatLines(['one ', 'answer ', 'for all'])

test('four replicas make one upstream call, and all give its answer', async () => {
  const fleet = await fourReplicas()
  const answers = fleet.askAll('x', 5)
  await until(() => fleet.upstream.calls.length === 1 && waiting(fleet) === 3, 'three replicas wait for one')
  fleet.upstream.at(0).begin(lines.join('')).end()
  const texts = new Set((await Promise.all(answers)).map(({ text }) => text))
  expect(texts).toEqual(new Set([lines.join('')]))
  expect(fleet.upstream.calls).toHaveLength(1)
  await until(() => fleet.replicas.every(({ lease }) => lease.stats.held === 0), 'nobody holds a lease')
})

test('four replicas make four calls when Redis stalls, one each', async () => {
  const fleet = await fourReplicas({ commandTimeoutMs: 25 })
  fleet.server.freeze()
  const answers = fleet.askAll('x', 5)
  await until(() => fleet.upstream.calls.length === 4, 'each replica calls')
  for (const call of fleet.upstream.calls) call.begin(lines.join('')).end()
  for (const answer of answers) expect((await answer).text).toBe(lines.join(''))
  expect(fleet.upstream.calls).toHaveLength(4)
})

test('who waits asks itself, at once, when the answer is none to keep', async () => {
  const fleet = await fourReplicas()
  const answers = fleet.askAll('x')
  await until(() => fleet.upstream.calls.length === 1 && waiting(fleet) === 3, 'three replicas wait for one')
  fleet.upstream
    .at(0)
    .begin(chatLines(['cut'], { reason: 'length' }).join(''))
    .end()
  await until(() => fleet.upstream.calls.length === 4, 'the others call')
  for (const call of fleet.upstream.calls.slice(1)) call.begin(lines.join('')).end()
  expect((await Promise.all(answers)).filter(({ text }) => text === lines.join(''))).toHaveLength(3)
})

test('who waits asks itself when the owner of the lease dies', async () => {
  const fleet = await fourReplicas()
  const answers = fleet.askAll('x')
  await until(() => fleet.upstream.calls.length === 1 && waiting(fleet) === 3, 'three replicas wait for one')
  await fleet.server.send('FLUSHALL')
  await until(() => fleet.upstream.calls.length === 4, 'the others call')
  for (const call of fleet.upstream.calls) call.begin(lines.join('')).end()
  for (const answer of answers) expect((await answer).text).toBe(lines.join(''))
})

test('who waits asks itself when Redis dies meanwhile', async () => {
  const fleet = await fourReplicas()
  const answers = fleet.askAll('x')
  await until(() => fleet.upstream.calls.length === 1 && waiting(fleet) === 3, 'three replicas wait for one')
  await fleet.server.kill()
  await until(() => fleet.upstream.calls.length === 4, 'the others call')
  for (const call of fleet.upstream.calls) call.begin(lines.join('')).end()
  for (const answer of answers) expect((await answer).text).toBe(lines.join(''))
})

async function leaseOn(url: string, replica: string, clock: Clock = systemClock): Promise<RedisLease> {
  const lease = createRedisLease({ redis: await openRedis(url), clock, replica })
  onTestFinished(() => lease.close())
  return lease
}

async function turnOf(lease: RedisLease, key: string): Promise<Turn> {
  const turn = await lease.acquire(key)
  if (turn === null) throw new Error('not asked')
  return turn
}

test('a lease outlives its TTL while its owner works, and ends when it is released', async () => {
  const { url } = await startRedis()
  const [one, two] = [await leaseOn(url, 'r1'), await leaseOn(url, 'r2')]
  const ours = await turnOf(one, 'k')
  const theirs = await turnOf(two, 'k')
  if (!ours.isOurs || theirs.isOurs) throw new Error('both or none')
  let over = false
  void theirs.over.then(() => {
    over = true
  })
  await systemClock.sleep(3_600)
  expect(over).toBe(false)
  ours.release()
  const startMs = systemClock.nowMs()
  await theirs.over
  expect(systemClock.nowMs() - startMs).toBeLessThan(200)
  expect((await turnOf(two, 'k')).isOurs).toBe(true)
})

test('a lease that ran out is not released by its former owner', async () => {
  const server = await startRedis()
  const [one, two] = [await leaseOn(server.url, 'r1'), await leaseOn(server.url, 'r2')]
  const first = await turnOf(one, 'k')
  await server.send('FLUSHALL')
  expect((await turnOf(two, 'k')).isOurs).toBe(true)
  if (!first.isOurs) throw new Error('not ours')
  first.release()
  first.release()
  await one.acquire('after the release')
  expect(await server.send('EXISTS corral:lease:k')).toBe(':1\r\n')
  expect((await turnOf(one, 'k')).isOurs).toBe(false)
})

test('who waits does so as long as the owner lives, and no longer than it wants to', async () => {
  const { url } = await startRedis()
  const clock = manualClock()
  const [one, two] = [await leaseOn(url, 'r1'), await leaseOn(url, 'r2', clock)]
  await turnOf(one, 'k')
  const turn = await turnOf(two, 'k')
  if (turn.isOurs) throw new Error('two owners')
  for (let minute = 0; minute < 10; minute += 1) {
    clock.advance(60_000)
    await until(() => clock.pending > 0, 'it looked again')
  }
  expect(two.stats).toEqual({ held: 0, waiting: 1 })
  turn.leave()
  await turn.over
  expect([two.stats, one.stats]).toEqual([
    { held: 0, waiting: 0 },
    { held: 1, waiting: 0 },
  ])
})

interface WaitingPair {
  readonly answers: readonly [Promise<Taken>, Promise<Taken>]
  readonly upstream: Upstream
  readonly second: Replica
  /** The time of the second replica. */
  readonly clock: ManualClock
}

/** The first replica asks upstream, and the second waits for it. */
async function waitingPair(stream: boolean): Promise<WaitingPair> {
  const { url } = await startRedis()
  const clock = manualClock()
  const upstream = scriptedUpstream(systemClock)
  const [first, second] = [await replicaOn(url, { name: 'r1' }), await replicaOn(url, { name: 'r2', clock })]
  const ask = ({ cache }: Replica): Promise<Taken> =>
    take(cache.layer(upstream.relay)(requestOf('/api/chat', chat('x', { stream })), newCall()))
  const one = ask(first)
  await until(() => upstream.calls.length === 1, 'the first replica asks')
  const other = ask(second)
  await until(() => second.lease.stats.waiting === 1, 'the second waits')
  return { answers: [one, other], upstream, second, clock }
}

test('a stream waits 30 s for that of another replica, then it is asked for without a turn', async () => {
  const { answers, upstream, second, clock } = await waitingPair(true)
  upstream.at(0).begin(lines.slice(0, 1).join(''))
  clock.advance(29_999)
  expect(second.lease.stats.waiting).toBe(1)
  clock.advance(1)
  await until(() => upstream.calls.length === 2, 'the second asks, too')
  expect(second.lease.stats).toEqual({ held: 0, waiting: 0 })
  upstream.at(1).begin(lines.join('')).end()
  expect((await answers[1]).text).toBe(lines.join(''))
  upstream.at(0).send(lines.slice(1).join('')).end()
  expect((await answers[0]).text).toBe(lines.join(''))
  expect(clock.pending).toBe(0)
})

test('a whole answer is waited for beyond that', async () => {
  const { answers, upstream, second, clock } = await waitingPair(false)
  clock.advance(600_000)
  expect(second.lease.stats.waiting).toBe(1)
  upstream.at(0).whole(JSON.stringify({ ...JSON.parse(lines.at(-1) ?? ''), message: { role: 'assistant', content: 'x' } }))
  const [one, other] = await Promise.all(answers)
  expect([other.text, upstream.calls.length]).toEqual([one.text, 1])
})

test('a request whose deadline passes while it waits for another replica leaves the line; upstream is not asked for it', async () => {
  const fleet = await fourReplicas()
  const [one, other] = fleet.replicas
  if (one === undefined || other === undefined) throw new Error('no replicas')
  const ask = ({ cache }: Replica, deadlineAtMs: number): Promise<Taken> =>
    take(cache.layer(fleet.upstream.relay)(requestOf('/api/chat', chat('x')), newCall({ deadlineAtMs })))
  const first = ask(one, Infinity)
  await until(() => fleet.upstream.calls.length === 1, 'the first replica asks')
  const hasty = ask(other, systemClock.nowMs() + 200).catch((error: unknown) => error)
  await until(() => waiting(fleet) === 1, 'the other waits')
  expect(await hasty).toMatchObject({ code: 'queue_timeout' })
  await until(() => waiting(fleet) === 0, 'nobody waits')
  fleet.upstream.at(0).begin(lines.join('')).end()
  expect((await first).text).toBe(lines.join(''))
  expect(fleet.upstream.calls).toHaveLength(1)
})
