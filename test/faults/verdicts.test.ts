// F13, F16: what a node answers in words says whose fault it is. A full queue is no illness, a bad request no fault of the node.

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { isComplete } from '../fleet/ask.ts'
import { asked, chatInTurn, expectIdle, openGateway, type Gateway } from '../fleet/gateway.ts'
import { sendJson, startFakeNode } from '../http/fake-node.ts'
import { crowd, openFront } from './front.ts'

const chat = '/api/chat'

function breakers({ app }: Gateway): string[] {
  return app.fleet.nodes.map(({ breaker }) => breaker.state(systemClock.nowMs()))
}

test('F13: a node whose queue is full is passed over for a while, fails nobody and is not ejected', async () => {
  const gateway = await openGateway({ nodes: 3, numParallel: 4, speed: 100, fleet: { breaker: { consecutiveFailures: 1 } } })
  const full = gateway.sim('node-1')
  full.control.set('instant-503', { path: chat })
  const replies = await crowd(gateway.url, { requests: 200, atOnce: 8 })
  expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
  expect(breakers(gateway)).toEqual(['closed', 'closed', 'closed'])
  const refused = asked(gateway, 'node-1', chat)
  expect(refused).toBeGreaterThan(0)
  expect(refused).toBeLessThan(20)
  await expectIdle(gateway)
})

test('F13: such a node is asked again when its time is over', async () => {
  const gateway = await openGateway({ nodes: 2 })
  gateway.sim('node-1').control.set('instant-503', { path: chat, count: 1 })
  await chatInTurn(gateway, 4)
  const [full] = gateway.app.fleet.nodes
  if (full === undefined) throw new Error('no node')
  expect(full.overloadedUntilMs).toBeGreaterThan(systemClock.nowMs())
  const before = asked(gateway, 'node-1', chat)
  await systemClock.sleep(full.overloadedUntilMs - systemClock.nowMs() + 5)
  await chatInTurn(gateway, 4)
  expect(asked(gateway, 'node-1', chat)).toBeGreaterThan(before)
  expect(breakers(gateway)).toEqual(['closed', 'closed'])
  await expectIdle(gateway)
})

test('F16: a request that its node finds bad is answered so, once, and no breaker hears of it', async () => {
  const nodes = await Promise.all([startFakeNode(), startFakeNode()])
  for (const node of nodes) {
    node.script = (_, outgoing) => sendJson(outgoing, 400, { error: 'invalid options: num_ctx' })
    onTestFinished(() => node.close())
  }
  const breaker = { consecutiveFailures: 1, failureRatio: 0.01, failureRatioRequestsMin: 1 }
  const gateway = await openFront(
    nodes.map(({ url }, index) => ({ url, name: `n${index}` })),
    { breaker },
  )
  const replies = await crowd(gateway.url, { requests: 40, atOnce: 4, change: { model: 'small' } })
  expect(new Set(replies.map(({ status, text }) => `${status} ${text}`))).toEqual(new Set(['400 {"error":"invalid options: num_ctx"}']))
  expect(nodes.reduce((sum, { received }) => sum + received.length, 0)).toBe(40)
  expect(breakers(gateway)).toEqual(['closed', 'closed'])
  await expectIdle(gateway)
})
