// Nodes that cannot be reached, come and go, or leave in numbers: rows F2, F29, F31 of the fault catalogue.

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { nodeOptions } from '../../src/fleet/options.ts'
import { openBlackHole } from '../support/black-hole.ts'
import { ask, chatBody, isComplete, type Reply } from './ask.ts'
import { expectIdle, openGateway, until } from './gateway.ts'

const chat = '/api/chat'

test('F2: a node that drops connection requests costs one connect timeout, then nothing', async () => {
  const gateway = await openGateway({ nodes: 1, fleet: { connectTimeoutMs: 300, probe: { intervalMs: 60_000 } } })
  const { fleet } = gateway.app
  const adding = fleet.addNode(nodeOptions.parse({ url: `http://127.0.0.1:${await openBlackHole()}`, name: 'hole' }))
  const hole = fleet.nodes[1]
  if (hole === undefined) throw new Error('no second node')
  await adding
  expect([hole.up, hole.downReason]).toEqual([false, 'connect timeout'])
  // As if it had been well until this moment.
  hole.up = true
  hole.models = fleet.nodes[0]?.models ?? new Map()
  fleet.catalogue.invalidate()
  const replies: Reply[] = await Promise.all(Array.from({ length: 6 }, () => ask(`${gateway.url}${chat}`, chatBody())))
  expect(replies.map(({ text, node }) => node ?? text)).toEqual(Array(6).fill('node-1'))
  expect(Math.max(...replies.map(({ headMs }) => headMs))).toBeLessThan(1_200)
  expect(hole.up).toBe(false)
  expect((await ask(`${gateway.url}${chat}`, chatBody())).headMs).toBeLessThan(250)
  await expectIdle(gateway)
})

test('F29: a node that comes and goes all the time costs no request before its first frame', async () => {
  const gateway = await openGateway({ nodes: 3, numParallel: 4, fleet: { probe: { intervalMs: 50 } } })
  const downs: string[] = []
  const [flapping] = gateway.app.fleet.nodes
  gateway.sim('node-1').control.set('flap', { delayMs: 200 })
  const endMs = systemClock.nowMs() + 2_500
  const replies: Reply[] = []
  const worker = async (): Promise<void> => {
    while (systemClock.nowMs() < endMs) {
      replies.push(await ask(`${gateway.url}${chat}`, chatBody({ stream: false })))
      downs.push(String(flapping?.up))
    }
  }
  await Promise.all(Array.from({ length: 6 }, worker))
  expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
  expect(new Set(downs)).toEqual(new Set(['true', 'false']))
  gateway.sim('node-1').control.clear()
  await expectIdle(gateway)
})

test('F31: half of the nodes die at full load: what did not begin is answered, interactive before batch', async () => {
  const gateway = await openGateway({ nodes: 4, numParallel: 2, speed: 2, fleet: { admission: { slotsAssumed: 2, slotsMax: 2 } } })
  const ended: string[] = []
  const send = async (priority: string): Promise<Reply> => {
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ stream: false }), { headers: { 'x-corral-priority': priority } })
    ended.push(priority)
    return reply
  }
  const all = Array.from({ length: 40 }, (_, index) => send(index % 2 === 0 ? 'batch' : 'interactive'))
  await until(() => gateway.app.fleet.activeAttempts === 8, 'all places are taken')
  await Promise.all([gateway.sim('node-1').kill(), gateway.sim('node-2').kill()])
  const replies = await Promise.all(all)
  expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
  const mean = (priority: string): number => {
    const places = ended.flatMap((kind, place) => (kind === priority ? [place] : []))
    return places.reduce((sum, place) => sum + place, 0) / places.length
  }
  expect(mean('interactive')).toBeLessThan(mean('batch') - 8)
  await expectIdle(gateway)
})
