/** One upstream call for the texts that several replicas miss at once, by a lease in a real Redis; without it, one for each of them. */
import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { until } from '../support/gateway.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'
import { newCall, requestOf, take, type Taken } from './ask.ts'
import { withoutTimes } from './embedding-setup.ts'
import { type Embeds, embeds } from './embedding-upstream.ts'
import { replicaOn, type Replica } from './redis-replica.ts'

interface Fleet {
  readonly server: RedisServer
  readonly replicas: readonly Replica[]
  readonly node: Embeds
  readonly answer: () => void
  ask(replica: Replica | undefined, input: readonly string[], call?: ReturnType<typeof newCall>): Promise<Taken>
}

/** Four replicas before one node, which answers when the test says so. */
async function fourReplicas(redis: Readonly<Record<string, unknown>> = {}): Promise<Fleet> {
  const server = await startRedis()
  const node = embeds(systemClock)
  const { promise, resolve } = Promise.withResolvers<void>()
  node.hold = promise
  const replicas = await Promise.all(['r1', 'r2', 'r3', 'r4'].map((name) => replicaOn(server.url, { name, redis })))
  return {
    server,
    replicas,
    node,
    answer: resolve,
    ask(replica, input, call = newCall()) {
      if (replica === undefined) throw new Error('no replica')
      return take(replica.cache.layer(node.relay)(requestOf('/api/embed', { model: 'e', input }), call))
    },
  }
}

const waiting = ({ replicas }: Fleet): number => replicas.reduce((sum, { lease }) => sum + lease.stats.waiting, 0)
const batch = ['one', 'two', 'three']

test('four replicas with the same new batch make one call, and all give its vectors', async () => {
  const fleet = await fourReplicas()
  const answers = fleet.replicas.flatMap((replica) => [fleet.ask(replica, batch), fleet.ask(replica, batch.toReversed())])
  await until(() => fleet.node.calls.length === 1 && waiting(fleet) === 3, 'three replicas wait for one')
  fleet.answer()
  const texts = (await Promise.all(answers)).map(({ text }) => withoutTimes(text))
  expect(new Set(texts).size).toBe(2)
  expect(fleet.node.calls).toEqual([batch])
  await until(() => fleet.replicas.every(({ lease }) => lease.stats.held === 0), 'nobody holds a lease')
})

test('four replicas make four calls when Redis stalls, one each', async () => {
  const fleet = await fourReplicas({ commandTimeoutMs: 25 })
  fleet.server.freeze()
  const answers = fleet.replicas.flatMap((replica) => [fleet.ask(replica, batch), fleet.ask(replica, batch)])
  await until(() => fleet.node.calls.length === 4, 'each replica calls')
  fleet.answer()
  for (const answer of answers) expect((await answer).status).toBe(200)
  expect(fleet.node.calls).toHaveLength(4)
})

test('a replica that has some of the texts waits for nobody with other ones, and for who lacks the same', async () => {
  const fleet = await fourReplicas()
  const [one, two, three] = fleet.replicas
  const wide = fleet.ask(one, batch)
  await until(() => fleet.node.calls.length === 1, 'the first replica asks')
  const other = fleet.ask(two, ['four'])
  const same = fleet.ask(three, ['four'])
  await until(() => fleet.node.calls.length === 2 && waiting(fleet) === 1, 'one waits')
  fleet.answer()
  for (const answer of [wide, other, same]) expect((await answer).status).toBe(200)
  expect(fleet.node.calls).toEqual([batch, ['four']])
})

test('who waits asks itself when the owner’s node refuses, and when the owner’s client left', async () => {
  const fleet = await fourReplicas()
  const [one, two, three] = fleet.replicas
  fleet.node.answer = (texts) => {
    const refuses = fleet.node.calls.length === 1
    return {
      status: refuses ? 400 : 200,
      body: refuses ? '{"error":"no"}' : JSON.stringify({ model: 'e', embeddings: texts.map(() => [1]) }),
    }
  }
  const first = fleet.ask(one, ['x'])
  await until(() => fleet.node.calls.length === 1, 'the first replica asks')
  const second = fleet.ask(two, ['x'])
  await until(() => waiting(fleet) === 1, 'the second waits')
  const leaver = newCall()
  const third = fleet.ask(three, ['x'], leaver).catch((error: unknown) => error)
  await until(() => waiting(fleet) === 2, 'the third waits')
  leaver.signal.abort('client gone')
  expect(await third).toMatchObject({ code: 'client_gone' })
  await until(() => waiting(fleet) === 1, 'the third left the line')
  fleet.answer()
  expect((await first).status).toBe(400)
  expect((await second).status).toBe(200)
  expect(fleet.node.calls).toHaveLength(2)
})
