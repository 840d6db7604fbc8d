// Two gateways before the same nodes: one load per cold model, one set of runner options per busy model, with a real Redis between them.

import { describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { startRedis } from '../support/redis.ts'
import { ask, chatBody, isComplete, type Reply } from './ask.ts'
import { until } from './gateway.ts'
import { openReplicas, type Replica, type Replicas, watchForMixtures } from './replicas.ts'

const chat = '/api/chat'
const generate = '/api/generate'
const alone = { watchdog: { enabled: false } }

function askAt(replica: Replica | undefined, change: Readonly<Record<string, unknown>> = {}): Promise<Reply> {
  if (replica === undefined) throw new Error('no such replica')
  return ask(`${replica.url}${chat}`, chatBody(change))
}

function withContext(num_ctx: number, num_predict = 5): Readonly<Record<string, unknown>> {
  return { keep_alive: '10m', options: { num_ctx, num_predict } }
}

/** Two clients at each replica, each with its replica's own context length, `count` requests each. */
async function mixed({ all }: Replicas, count: number): Promise<Reply[]> {
  const replies: Reply[] = []
  const client = async (replica: Replica, numCtx: number): Promise<void> => {
    for (let time = 0; time < count; time += 1) replies.push(await askAt(replica, withContext(numCtx)))
  }
  await Promise.all(all.flatMap((replica, index) => [1, 2].map(() => client(replica, index === 0 ? 2_048 : 1_024))))
  return replies
}

function loadRequests({ sims }: Replicas): number {
  return sims.reduce((sum, sim) => sum + (sim.stats().byPath[generate] ?? 0), 0)
}

function loads({ sims }: Replicas): number {
  return sims.reduce((sum, sim) => sum + sim.stats().loads, 0)
}

describe('a cold model', () => {
  test('wanted at two replicas at once is loaded by one of them, for both', async () => {
    const redis = await startRedis()
    const replicas = await openReplicas({ nodes: 1, numParallel: 4, speed: 20, redis: redis.url, fleet: alone })
    const replies = await Promise.all(Array.from({ length: 8 }, (_, index) => askAt(replicas.all[index % 2])))
    expect(replies.map(({ text }) => text).filter((text) => !text.includes('"done":true'))).toEqual([])
    expect([loads(replicas), loadRequests(replicas)]).toEqual([1, 1])
  })

  test('is loaded once on each of several nodes, however many replicas want it', async () => {
    const redis = await startRedis()
    const replicas = await openReplicas({ count: 3, nodes: 2, numParallel: 2, speed: 20, redis: redis.url, fleet: alone })
    const replies = await Promise.all(Array.from({ length: 30 }, (_, index) => askAt(replicas.all[index % 3])))
    expect(replies.every(isComplete)).toBe(true)
    for (const sim of replicas.sims) expect(sim.stats().loads).toBeLessThanOrEqual(1)
    expect(loadRequests(replicas)).toBe(loads(replicas))
  })

  test('whose load fails at one replica is loaded by the other', async () => {
    const redis = await startRedis()
    const replicas = await openReplicas({ nodes: 1, speed: 5, redis: redis.url, fleet: alone })
    const [sim] = replicas.sims
    const first = askAt(replicas.all[0])
    await until(() => loadRequests(replicas) === 1, 'the load was sent')
    const second = askAt(replicas.all[1])
    await until(() => replicas.all[1]?.app.fleet.budget.active === 1, 'the other waits')
    sim?.control.set('runner-death')
    expect([await first, await second].map(isComplete)).toEqual([true, true])
    expect(loadRequests(replicas)).toBe(2)
  })

  test('that one replica loaded is known to the other before it has looked', async () => {
    const redis = await startRedis()
    const fleet = { ...alone, probe: { loadedIntervalMs: 60_000 } }
    const replicas = await openReplicas({ nodes: 1, speed: 20, redis: redis.url, fleet })
    await askAt(replicas.all[0], withContext(2_048))
    expect(isComplete(await askAt(replicas.all[1], withContext(2_048)))).toBe(true)
    expect(loadRequests(replicas)).toBe(1)
  })
})

describe('two context lengths at two replicas', () => {
  const busy = { nodes: 1, numParallel: 4, speed: 20, answerTokens: [80, 80] as const, fleet: alone }

  test('never meet on a busy model; both kinds are answered, and the node still loads', async () => {
    const redis = await startRedis()
    const replicas = await openReplicas({ ...busy, redis: redis.url })
    const watch = watchForMixtures(replicas)
    const replies = await mixed(replicas, 8)
    expect(watch.stop()).toEqual([])
    expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
    const cold = await askAt(replicas.all[0], { model: 'qwen3:8b' })
    expect(isComplete(cold), cold.text).toBe(true)
  })

  test('do meet without Redis', async () => {
    const replicas = await openReplicas({ ...busy, redis: null })
    expect(replicas.all.flatMap(({ app }) => [...app.fleet.pools.leases()])).toEqual([])
    const watch = watchForMixtures(replicas)
    void mixed(replicas, 8).catch(() => undefined)
    await systemClock.sleep(2_500)
    expect(watch.stop()).not.toEqual([])
  })

  test('take turns: a steady stream of one does not starve the other', async () => {
    const redis = await startRedis()
    const replicas = await openReplicas({ ...busy, speed: 4, redis: redis.url })
    const stream = { ended: false }
    // Of unequal lengths, so that the model is never idle by chance.
    const steady = async (length: number): Promise<void> => {
      while (!stream.ended) await askAt(replicas.all[0], withContext(2_048, length))
    }
    await askAt(replicas.all[0], withContext(2_048))
    const clients = [31, 37, 41, 43].map(steady)
    const other = await askAt(replicas.all[1], withContext(1_024))
    stream.ended = true
    await Promise.all(clients)
    expect(isComplete(other), other.text).toBe(true)
    expect(other.totalMs).toBeLessThan(4_000)
    expect(other.totalMs).toBeGreaterThan(900)
  })

  test('changed while the first replica was idle: it notices, and loads by its own request', async () => {
    const redis = await startRedis()
    const replicas = await openReplicas({ ...busy, redis: redis.url })
    const contexts = [2_048, 1_024, 2_048, 1_024]
    for (const [index, numCtx] of contexts.entries()) await askAt(replicas.all[index % 2], withContext(numCtx))
    expect([loads(replicas), loadRequests(replicas)]).toEqual([4, 4])
  })
})
