// Clients that give up: whose fault it was, and what follows for the node and for those that come back.

import { describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { ask, type Asking, chatBody, isComplete, start } from './ask.ts'
import { asked, expectIdle, type Gateway, openGateway, until } from './gateway.ts'

const chat = '/api/chat'
const firstFrameMsMin = 300
/** Places for all at once, and answers that last for seconds unless a limit ends them. */
const roomy = { numParallel: 16, answerTokens: [4_000, 4_000] } as const
const admission = { slotsAssumed: 16 }

/** Two nodes that have answered enough for a short budget; all that follows is sent to node-1 while node-2 is drained. */
async function learnedNode(fleet: Record<string, unknown> = {}): Promise<Gateway> {
  const deadlines = { firstFrameMsMin, firstFrameMsMax: 60_000 }
  const gateway = await openGateway({ ...roomy, fleet: { deadlines, admission, ...fleet } })
  for (let time = 0; time < 4; time += 1) await Promise.all(Array.from({ length: 8 }, () => ask(`${gateway.url}${chat}`, chatBody())))
  gateway.app.fleet.setDraining('node-2', true)
  return gateway
}

async function sendTo(gateway: Gateway, count: number, change: Record<string, unknown> = {}): Promise<Asking[]> {
  const before = asked(gateway, 'node-1', chat)
  const askings = Array.from({ length: count }, () => start(`${gateway.url}${chat}`, chatBody(change)))
  await until(() => asked(gateway, 'node-1', chat) === before + count, 'the node has them all')
  return askings
}

async function leaveAll(gateway: Gateway, askings: readonly Asking[]): Promise<void> {
  for (const asking of askings) asking.leave()
  await expectIdle(gateway)
}

function stateOf(gateway: Gateway): string | undefined {
  return gateway.app.fleet.nodes[0]?.breaker.state(systemClock.nowMs())
}

describe('a client that leaves a silent node', () => {
  const bodies: readonly [string, Record<string, unknown>][] = [
    ['a stream', {}],
    ['a whole answer of unknown length', { stream: false, options: {} }],
  ]

  test.each(bodies)('past the budget counts against the node: %s', async (_, change) => {
    const gateway = await learnedNode()
    gateway.sim('node-1').control.set('hang-before-head', { path: chat })
    const askings = await sendTo(gateway, 5, change)
    // Four times what an answer took here is well under the least budget.
    await systemClock.sleep(firstFrameMsMin + 300)
    await leaveAll(gateway, askings)
    expect(stateOf(gateway)).toBe('open')
    gateway.app.fleet.setDraining('node-2', false)
    expect(stateOf(gateway)).toBe('open')
  })

  test('earlier says nothing of the node', async () => {
    const gateway = await learnedNode()
    gateway.sim('node-1').control.set('hang-before-head', { path: chat })
    for (let round = 0; round < 2; round += 1) {
      const askings = await sendTo(gateway, 5)
      await systemClock.sleep(firstFrameMsMin / 3)
      await leaveAll(gateway, askings)
    }
    expect(stateOf(gateway)).toBe('closed')
  })

  test('that answers others meanwhile says nothing of the node', async () => {
    const gateway = await learnedNode()
    const [running] = await sendTo(gateway, 1, { options: { num_predict: 2_000 } })
    await running?.head
    gateway.sim('node-1').control.set('hang-before-head', { path: chat })
    const askings = await sendTo(gateway, 5)
    await systemClock.sleep(firstFrameMsMin + 300)
    await leaveAll(gateway, [...askings, ...(running === undefined ? [] : [running])])
    expect(stateOf(gateway)).toBe('closed')
  })

  test('of which nothing is learned says nothing of the node', async () => {
    const gateway = await openGateway({ ...roomy, nodes: 1, fleet: { deadlines: { firstFrameMsMin }, admission } })
    gateway.sim('node-1').control.set('hang-before-head', { path: chat })
    const askings = await sendTo(gateway, 5)
    await systemClock.sleep(firstFrameMsMin + 300)
    await leaveAll(gateway, askings)
    expect(stateOf(gateway)).toBe('closed')
  })
})

describe('a node that is slow and answers others', () => {
  /** A request that waits on node-1 past its budget, beside a stream that runs there, while node-2 is free. */
  async function slowBesideStream(budgetFloor: number): Promise<{ node: string | null; complete: boolean }> {
    const gateway = await learnedNode({ retry: { budgetFloor, budgetRatio: 0 } })
    const [running] = await sendTo(gateway, 1, { options: { num_predict: 2_000 } })
    await running?.head
    gateway.sim('node-1').control.set('slow-head', { path: chat, delayMs: 900 })
    const [waiting] = await sendTo(gateway, 1)
    gateway.app.fleet.setDraining('node-2', false)
    const reply = await waiting?.reply
    await leaveAll(gateway, running === undefined ? [] : [running])
    return { node: reply?.node ?? null, complete: reply !== undefined && isComplete(reply) }
  }

  test('is left while the budget allows it', async () => {
    expect(await slowBesideStream(1)).toEqual({ node: 'node-2', complete: true })
  })

  test('is waited for when the budget is spent, so that a slow fleet is not asked twice for everything', async () => {
    expect(await slowBesideStream(0)).toEqual({ node: 'node-1', complete: true })
  })
})
