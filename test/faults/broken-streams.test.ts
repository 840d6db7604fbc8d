// F9, F10: one node of four breaks or stops every stream. How many answers are lost until it is passed over, and that it is.

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { isComplete, type Reply } from '../fleet/ask.ts'
import { expectIdle, openGateway, type Gateway } from '../fleet/gateway.ts'
import { crowd } from './front.ts'

const requests = 600
/** A storm that the node sits out, because it looks busy after its first loss, goes on for so many crowds at most. How soon is what
 *  `npm run bench -- faults` measures: here a slow machine would decide. */
const crowdsMax = 20

interface Outcome {
  readonly lost: readonly Reply[]
  readonly answers: number
  /** Whether the node was ejected before the storm was over. */
  readonly isEjected: boolean
}

/** Sends the crowd and looks when the breaker of the first node opens. */
async function storm(gateway: Gateway): Promise<Outcome> {
  const [first] = gateway.app.fleet.nodes
  let isEjected = false
  const watch = setInterval(() => {
    isEjected ||= first?.breaker.state(systemClock.nowMs()) === 'open'
  }, 2)
  const replies: Reply[] = []
  const isOver = (): boolean => isEjected || replies.length >= crowdsMax * requests
  do replies.push(...(await crowd(gateway.url, { requests, atOnce: 8 })))
  while (!isOver())
  clearInterval(watch)
  expect(replies.length % requests).toBe(0)
  return { lost: replies.filter((reply) => !isComplete(reply)), answers: replies.length, isEjected }
}

/** No lost answer looks complete: the last line is an error, and no line says `done`. */
function expectTold(lost: readonly Reply[]): void {
  for (const { text } of lost) {
    expect(text).toMatch(/\n\{"error":"[^\n]*\}\n$/)
    expect(text).not.toContain('"done":true')
  }
}

test('F9: a node that resets every stream costs at most 1 % of the answers and is ejected', async () => {
  const gateway = await openGateway({ nodes: 4, numParallel: 4, speed: 200 })
  gateway.sim('node-1').control.set('rst-at-frame', { path: '/api/chat' })
  const { lost, answers, isEjected } = await storm(gateway)
  expect(lost.length).toBeGreaterThan(0)
  expect(lost.length / answers).toBeLessThanOrEqual(0.01)
  expect(isEjected).toBe(true)
  expectTold(lost)
  await expectIdle(gateway)
})

test('F10: a node that stops in every stream costs at most 0.7 % of the answers', async () => {
  const deadlines = { idleMsMin: 250, idleMsMax: 500 }
  const gateway = await openGateway({ nodes: 4, numParallel: 4, speed: 200, fleet: { deadlines } })
  gateway.sim('node-1').control.set('hang-mid-stream', { path: '/api/chat' })
  const { lost, answers, isEjected } = await storm(gateway)
  expect(lost.length).toBeGreaterThan(0)
  expect(lost.length / answers).toBeLessThanOrEqual(0.007)
  expect(isEjected).toBe(true)
  expectTold(lost)
  expect(lost.filter(({ text }) => !text.includes('sent nothing for '))).toEqual([])
  await expectIdle(gateway)
})
