// Which replicas are alive, by their signs in a real Redis; one that was killed is none that another is told of.
import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { Replicas } from '../../src/limits/replicas.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import { createRedis } from '../../src/store/redis.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { until } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'

interface Replica {
  readonly replicas: Replicas
  /** How often it was told of others. */
  readonly told: () => number
  /** Gives a second's sign of life. One that never does so again was killed. */
  beat(): Promise<void>
}

async function replica(url: string, name: string, workers = 1): Promise<Replica> {
  const clock = manualClock()
  const redis = createRedis(redisOptions.parse({ url }), { clock: systemClock, random: () => 0.5 })
  let told = 0
  const replicas = new Replicas(redis, clock, { name, workers, onOthers: () => void (told += 1) })
  onTestFinished(async () => {
    await replicas.close()
    await redis.close()
  })
  redis.start()
  await until(() => redis.state === 'up', 'Redis is up')
  const counted = (beats: number): Promise<void> => until(() => redis.stats.answered >= beats && clock.pending === 1, `${name} has counted`)
  replicas.start()
  await counted(1)
  return {
    replicas,
    told: () => told,
    async beat() {
      const { answered } = redis.stats
      clock.advance(1_000)
      await counted(answered + 1)
    },
  }
}

test('one that was killed is counted until its sign ends, and is none that its successor is told of', async () => {
  const { url, send } = await startRedis()
  await replica(url, 'killed')
  const next = await replica(url, 'next')
  for (let second = 0; second < 5; second += 1) {
    expect(next.replicas.alive).toBe(2)
    await next.beat()
  }
  await send('ZADD corral:replicas 1 killed')
  for (let second = 0; second < 10; second += 1) await next.beat()
  expect([next.replicas.alive, next.told()]).toEqual([1, 0])
})

test('nor is one of several workers, however late it dies, and two that die one after the other are not taken for one that stays', async () => {
  const { url, send } = await startRedis()
  const one = await replica(url, 'one', 2)
  await replica(url, 'two', 2)
  for (let second = 0; second < 10; second += 1) await one.beat()
  for (const name of ['three', 'four']) {
    const successor = await replica(url, name, 2)
    for (let second = 0; second < 4; second += 1) await Promise.all([one.beat(), successor.beat()])
    expect(one.replicas.alive).toBe(3)
    await send(`ZADD corral:replicas 1 ${name === 'three' ? 'two' : 'three'}`)
    await one.beat()
    expect(one.replicas.alive).toBe(2)
  }
  expect(one.told()).toBe(0)
})

test('those that stay are told of once, to each', async () => {
  const { url } = await startRedis()
  const both = [await replica(url, 'one'), await replica(url, 'two')]
  const toldAfter = async (seconds: number): Promise<readonly number[]> => {
    for (let second = 0; second < seconds; second += 1) await Promise.all(both.map(({ beat }) => beat()))
    return both.map(({ told }) => told())
  }
  expect(await toldAfter(5)).toEqual([0, 0])
  expect(await toldAfter(2)).toEqual([1, 1])
  expect(await toldAfter(10)).toEqual([1, 1])
})
