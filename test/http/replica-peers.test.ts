// Questions between replicas on a real Redis, where one says nothing, too much, or something of another make.
import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import type { CallSnapshot } from '../../src/http/admin/snapshot-call.ts'
import { joinPeers, noPeers, type PeerAnswer, type PeerQuestion, type Peers } from '../../src/http/peers.ts'
import { createReplicaPeers } from '../../src/http/replica-peers.ts'
import { openRedis } from '../cache/redis-replica.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { manualClock } from '../fleet/manual-clock.ts'

interface Stand {
  readonly redis: RedisServer
  /** The channels of the replica are open when it is returned. */
  join(name: string, answer?: (question: PeerQuestion) => Promise<PeerAnswer>, machine?: string): Promise<Peers>
}

async function createStand({ alive = 0, clock = systemClock } = {}): Promise<Stand> {
  const redis = await startRedis()
  let joined = 0
  return {
    redis,
    async join(name, answer = () => Promise.resolve({}), machine = name) {
      const store = await openRedis(redis.url)
      const facts = { clock, replica: name, machine, workers: machine === name ? 1 : 2, alive: () => alive }
      const peers = createReplicaPeers(store, facts)
      if (peers === null) throw new Error('no peers')
      peers.open(answer)
      onTestFinished(() => peers.close())
      joined += 1
      await expect.poll(() => redis.send('PUBSUB NUMSUB corral:peers:ask'), { timeout: 10_000 }).toContain(`:${joined}\r\n`)
      return peers
    },
  }
}

const call = (id: string): CallSnapshot => ({
  id,
  route: '/api/chat',
  model: 'm',
  tenant: 'local',
  priority: 'interactive',
  phase: 'streaming',
  ageMs: 1,
  deadlineInMs: null,
  node: 'n',
  attempts: 1,
  frames: 1,
  queuePosition: 0,
  etaMs: null,
  traceId: null,
})

const never = (): Promise<PeerAnswer> => new Promise(() => {})

test('all others answer, and nobody waits longer than for the last of them', async () => {
  const stand = await createStand({ clock: manualClock() })
  const asking = await stand.join('a')
  await stand.join('b', () => Promise.resolve({ requests: [call('1')] }))
  await stand.join('c', () => Promise.resolve({ requests: [call('2')] }))
  // The clock stands still: no deadline helps.
  const answers = await asking.ask({ kind: 'requests' })
  expect(answers.flatMap(({ requests }) => requests?.map(({ id }) => id) ?? []).toSorted()).toEqual(['1', '2'])
})

test('one that says nothing in time is counted, and so is one whose answer is too long', async () => {
  const stand = await createStand()
  const asking = await stand.join('a')
  await stand.join('b', never)
  const long = { ...call('long'), tenant: 'x'.repeat(1_048_576) }
  await stand.join('c', () => Promise.resolve({ requests: [long] }))
  await stand.join('d', () => Promise.resolve({ requests: [] }))
  expect(await asking.ask({ kind: 'requests' })).toEqual([{ requests: [], requestsLeftOut: 0 }, { silent: 2 }])
})

test('one that is known to be alive and is not heard of is counted', async () => {
  const stand = await createStand({ alive: 3 })
  const asking = await stand.join('a')
  await stand.join('b')
  expect(await asking.ask({ kind: 'fleet' })).toEqual([{}, { silent: 1 }])
})

test('of many requests some are told, and how many are not', async () => {
  const stand = await createStand()
  const asking = await stand.join('a')
  await stand.join('b', () => Promise.resolve({ requests: Array.from({ length: 1_200 }, (_, index) => call(String(index))) }))
  const [answer] = await asking.ask({ kind: 'requests' })
  expect([answer?.requests?.length, answer?.requestsLeftOut]).toEqual([1_000, 200])
})

test('a neighbour on the same machine does not answer: it is asked without Redis', async () => {
  const stand = await createStand()
  const asking = await stand.join('a', undefined, 'm')
  const asked: string[] = []
  const answer = ({ kind }: PeerQuestion): Promise<PeerAnswer> => Promise.resolve((asked.push(kind), {}))
  await stand.join('b', answer, 'm')
  await stand.join('c', () => Promise.resolve({ cancelled: true }))
  expect(await joinPeers(noPeers, asking).ask({ kind: 'cancel', id: '1' })).toEqual([{ cancelled: true }])
  expect(asked).toEqual([])
})

test('scrapes, purges and switches stay on this machine, and what was changed of a node does not pass', async () => {
  const stand = await createStand()
  const asking = await stand.join('a')
  const asked: PeerQuestion[] = []
  await stand.join('b', (question) => Promise.resolve((asked.push(question), {})))
  for (const question of [
    { kind: 'scrape', own: '' },
    { kind: 'by-hand' },
    { kind: 'switch', name: 'cache', wanted: null },
    { kind: 'purge', selector: {}, dryRun: true },
  ] as const)
    expect(await asking.ask(question)).toEqual([])
  const node = { url: 'http://a', headers: { authorization: 's3cret' } }
  await asking.ask({ kind: 'node-changed', changes: [['a', { kind: 'added', node, listed: null, draining: false }]], putBack: 'a' })
  expect(asked).toEqual([{ kind: 'node-changed', changes: null, putBack: 'a' }])
})

test.each(['no json', '{}', '{"from":"x","machine":"y","id":1,"question":{"kind":"scrape","own":""}}'])(
  'somebody else on the channel is passed over: %s',
  async (message) => {
    const stand = await createStand()
    const asking = await stand.join('a')
    const asked: string[] = []
    await stand.join('b', ({ kind }) => Promise.resolve((asked.push(kind), {})))
    const quoted = `"${message.replaceAll('"', String.raw`\"`)}"`
    expect(await stand.redis.send(`PUBLISH corral:peers:ask ${quoted}`)).toBe(':2\r\n')
    expect(await stand.redis.send(`PUBLISH corral:peers:answer:a ${quoted}`)).toBe(':1\r\n')
    expect(await asking.ask({ kind: 'fleet' })).toEqual([{}])
    expect(asked).toEqual(['fleet'])
  },
)

test('an answer of another make counts as none', async () => {
  const stand = await createStand()
  const asking = await stand.join('a')
  const other: object = { fleet: { nodes: [{ name: 'a' }], pools: [], drift: [], activeAttempts: 0 } }
  await stand.join('b', () => Promise.resolve(other))
  expect(await asking.ask({ kind: 'fleet' })).toEqual([{ silent: 1 }])
})

test('while Redis is away the answer is that it is', async () => {
  const stand = await createStand()
  const asking = await stand.join('a')
  await stand.redis.kill()
  await expect.poll(() => asking.ask({ kind: 'fleet' }), { timeout: 10_000 }).toEqual([{ redisAway: true }])
})
