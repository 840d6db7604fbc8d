/** What replicas with a Redis agree on can be switched off; then each does it once for itself. */
import { expect, test } from 'vitest'

import { startRedis } from '../support/redis.ts'
import { chat, type Gateway, gatewaysOn } from './redis-gateways.ts'

const paths = ({ sim }: Gateway): Readonly<Record<string, number>> => sim.stats().byPath

async function pairWith(sections: Readonly<Record<string, Readonly<Record<string, unknown>>>>): Promise<[Gateway, Gateway]> {
  const [one, other] = await gatewaysOn((await startRedis()).url, { sections })
  if (one === undefined || other === undefined) throw new Error('no gateways')
  return [one, other]
}

test.each([
  [true, 1],
  [false, 2],
])('equal requests to two replicas with cache.flight.lease %s make %i upstream calls', async (lease, calls) => {
  const pair = await pairWith({ cache: { flight: { lease } } })
  const replies = await Promise.all([...pair, ...pair].map((gateway) => gateway.ask()))
  expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  expect(new Set(replies.map(({ text }) => JSON.parse(text).message.content)).size).toBe(1)
  expect(paths(pair[0])['/api/chat']).toBe(calls)
})

test.each([
  [true, 1],
  [false, 2],
])('a cold model wanted by two replicas with fleet.loads.lease %s is loaded by %i of them', async (lease, loads) => {
  const pair = await pairWith({ cache: { enabled: false }, fleet: { loads: { lease } } })
  const bodies = ['one', 'two'].map((content) => ({ ...chat, messages: [{ role: 'user', content }] }))
  const replies = await Promise.all(pair.map((gateway, index) => gateway.ask(bodies[index])))
  expect(replies.map(({ status }) => status)).toEqual([200, 200])
  expect(paths(pair[0])['/api/generate']).toBe(loads)
})
