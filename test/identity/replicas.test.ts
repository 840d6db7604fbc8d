// Several gateways on one store: what one revokes the others refuse, at once by Redis and within a second without it.
import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { noLimits, openPrincipal } from '../../src/core/principal.ts'
import { chatBody } from '../fleet/ask.ts'
import { until } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { operatorAct } from './fixture.ts'
import { type KeyedGateway, type KeyedHerdOptions, startKeyedHerd } from './keyed-herd.ts'

const idOf = (text: string): string => text.slice(7, 19)

async function twoReplicas(options: KeyedHerdOptions = {}): Promise<[KeyedGateway, KeyedGateway]> {
  const { gateways } = await startKeyedHerd({ replicas: 2, ...options })
  const [a, b] = gateways
  if (a === undefined || b === undefined) throw new Error('not two')
  return [a, b]
}

async function statusOf(gateway: KeyedGateway, key: string): Promise<number> {
  return (await gateway.ask('/api/chat', key, chatBody())).status
}

/** Milliseconds from the revocation until the replica refuses. */
async function refusedAfterMs([a, b]: readonly [KeyedGateway, KeyedGateway]): Promise<number> {
  const key = await a.key({ limits: noLimits })
  expect([await statusOf(a, key), await statusOf(b, key)]).toEqual([200, 200])
  await a.identity.keys.revoke(idOf(key), 'test', { ...operatorAct, by: openPrincipal })
  const atMs = systemClock.nowMs()
  expect(await statusOf(a, key)).toBe(401)
  while ((await statusOf(b, key)) !== 401) expect(systemClock.nowMs() - atMs).toBeLessThan(5_000)
  return systemClock.nowMs() - atMs
}

test('with Redis the other replica refuses a revoked key at once', async () => {
  const redis = await startRedis()
  const replicas = await twoReplicas({ redisUrl: redis.url })
  const times: number[] = []
  for (let round = 0; round < 5; round += 1) times.push(await refusedAfterMs(replicas))
  // The look each second alone would need half a second in the mean.
  expect(times.toSorted((x, y) => x - y)[2]).toBeLessThan(200)
})

test('with Redis stalled the look each second finds it, and a revocation waits for nothing', async () => {
  const redis = await startRedis()
  const replicas = await twoReplicas({ redisUrl: redis.url })
  redis.freeze()
  expect(await refusedAfterMs(replicas)).toBeLessThan(2_000)
  redis.thaw()
  await until(() => replicas.every(({ redisState }) => redisState() === 'up'), 'Redis is back', 10_000)
  expect(await refusedAfterMs(replicas)).toBeLessThan(2_000)
})

test('without Redis too', async () => {
  expect(await refusedAfterMs(await twoReplicas())).toBeLessThan(2_000)
})
