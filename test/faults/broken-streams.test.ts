// F9, F10: one node of four breaks or stops every stream. How many answers are lost until it is passed over, and how soon.

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { isComplete, type Reply } from '../fleet/ask.ts'
import { expectIdle, openGateway, type Gateway } from '../fleet/gateway.ts'
import { crowd } from './front.ts'

const requests = 600
/** A storm that the node sits out, because it looks busy after its first loss, goes on for so long at most. */
const stormMsMax = 3_000

interface Outcome {
  readonly lost: readonly Reply[]
  readonly answers: number
  /** From the first request to the end of trust in the node. */
  readonly ejectedAfterMs: number
}

/** Sends the crowd and looks when the breaker of the first node opens. */
async function storm(gateway: Gateway): Promise<Outcome> {
  const [first] = gateway.app.fleet.nodes
  const startMs = systemClock.nowMs()
  let ejectedAfterMs = Infinity
  const watch = setInterval(() => {
    if (first?.breaker.state(systemClock.nowMs()) === 'open') ejectedAfterMs = Math.min(ejectedAfterMs, systemClock.nowMs() - startMs)
  }, 2)
  const isOver = (): boolean => ejectedAfterMs < Infinity || systemClock.nowMs() - startMs > stormMsMax
  const replies: Reply[] = []
  do replies.push(...(await crowd(gateway.url, { requests, atOnce: 8 })))
  while (!isOver())
  clearInterval(watch)
  expect(replies.length % requests).toBe(0)
  return { lost: replies.filter((reply) => !isComplete(reply)), answers: replies.length, ejectedAfterMs }
}

/** No lost answer looks complete: the last line is an error, and no line says `done`. */
function expectTold(lost: readonly Reply[]): void {
  for (const { text } of lost) {
    expect(text).toMatch(/\n\{"error":"[^\n]*\}\n$/)
    expect(text).not.toContain('"done":true')
  }
}

test('F9: a node that resets every stream costs at most 1 % of the answers and is out within a second', async () => {
  const gateway = await openGateway({ nodes: 4, numParallel: 4, speed: 200 })
  gateway.sim('node-1').control.set('rst-at-frame', { path: '/api/chat' })
  const { lost, answers, ejectedAfterMs } = await storm(gateway)
  expect(lost.length).toBeGreaterThan(0)
  expect(lost.length / answers).toBeLessThanOrEqual(0.01)
  expect(ejectedAfterMs).toBeLessThan(1_000)
  expectTold(lost)
  await expectIdle(gateway)
})

test('F10: a node that stops in every stream costs at most 0.7 % of the answers', async () => {
  const deadlines = { idleMsMin: 250, idleMsMax: 500 }
  const gateway = await openGateway({ nodes: 4, numParallel: 4, speed: 200, fleet: { deadlines } })
  gateway.sim('node-1').control.set('hang-mid-stream', { path: '/api/chat' })
  const { lost, answers, ejectedAfterMs } = await storm(gateway)
  expect(lost.length).toBeGreaterThan(0)
  expect(lost.length / answers).toBeLessThanOrEqual(0.007)
  expect(ejectedAfterMs).toBeLessThan(deadlines.idleMsMax + 500)
  expectTold(lost)
  expect(Math.max(...lost.map(({ totalMs }) => totalMs))).toBeLessThan(deadlines.idleMsMax + 500)
  await expectIdle(gateway)
})
