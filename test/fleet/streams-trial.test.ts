// A breaker's trial on a long stream, and a copy of an embedding shard that outran the first: what each says of its node.

import { describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import type { FleetNode } from '../../src/fleet/node.ts'
import { ask, chatBody, isComplete, start } from './ask.ts'
import { expectIdle, type Gateway, openGateway, until } from './gateway.ts'

const chat = '/api/chat'

function breakerOf({ app }: Gateway, index = 0) {
  const state = () => app.fleet.nodes[index]?.breaker.state(systemClock.nowMs())
  return { state }
}

describe('a trial on a long stream', () => {
  /** One node, ejected for 100 ms by two broken streams. */
  async function ejected(): Promise<Gateway> {
    const gateway = await openGateway({
      nodes: 1,
      numParallel: 4,
      speed: 1,
      answerTokens: [200, 200],
      fleet: { breaker: { ejectMs: 100, ejectMsMax: 100 } },
    })
    gateway.sim('node-1').control.set('rst-at-frame', { path: chat, atFrame: 2, count: 2 })
    for (let time = 0; time < 2; time += 1) await ask(`${gateway.url}${chat}`, chatBody())
    expect(breakerOf(gateway).state()).toBe('open')
    await until(() => breakerOf(gateway).state() === 'half_open', 'the ejection is over')
    return gateway
  }

  test('closes the breaker while it still runs', async () => {
    const gateway = await ejected()
    const trial = start(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 200 } }))
    let ended = false
    void trial.reply.then(() => (ended = true))
    await trial.head
    expect(breakerOf(gateway).state()).toBe('open')
    await until(() => breakerOf(gateway).state() === 'closed', 'the stream has proved itself')
    expect(ended).toBe(false)
    expect(isComplete(await trial.reply)).toBe(true)
    await expectIdle(gateway)
  })

  test('that breaks early opens it again', async () => {
    const gateway = await ejected()
    gateway.sim('node-1').control.set('rst-at-frame', { path: chat, atFrame: 10 })
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 200 } }))
    expect(isComplete(reply)).toBe(false)
    expect(breakerOf(gateway).state()).toBe('open')
  })
})

test("an operator's undrain closes the breaker of a node that was ejected", async () => {
  const gateway = await openGateway({ nodes: 1 })
  gateway.sim('node-1').control.set('rst-at-frame', { path: chat, atFrame: 2, count: 2 })
  for (let time = 0; time < 2; time += 1) await ask(`${gateway.url}${chat}`, chatBody())
  expect(breakerOf(gateway).state()).toBe('open')
  gateway.app.fleet.setDraining('node-1', false)
  expect(breakerOf(gateway).state()).toBe('closed')
})

describe('a shard that is late while its copy is answered', () => {
  const model = 'nomic-embed-text:latest'
  const input = Array.from({ length: 32 }, (_, index) => `text ${index}`)

  /** Teaches both nodes how long such batches take, then hangs the first one. */
  async function learnThenHang(gateway: Gateway): Promise<void> {
    for (let time = 0; time < 15; time += 1) await ask(`${gateway.url}/api/embed`, { model, input, keep_alive: -1 })
    gateway.sim('node-1').control.set('hang-before-head', { path: '/api/embed' })
  }

  async function outrunBatches(gateway: Gateway, count: number): Promise<void> {
    for (let time = 0; time < count; time += 1) {
      const reply = await ask(`${gateway.url}/api/embed`, { model, input: input.map((text) => `${text} again ${time}`) })
      expect(reply.status, reply.text).toBe(200)
    }
  }

  const runnerOn = ({ fleet }: Gateway['app'], node: FleetNode) =>
    [...fleet.pools.use(node).runners.values()].find((runner) => runner.model === model)

  /** Looks busier for failures of late: what later shards are weighed by. */
  function hasFailedLately({ app }: Gateway): boolean[] {
    const nowMs = systemClock.nowMs()
    return app.fleet.nodes.map((node) => runnerOn(app, node)?.hasFailedLately(nowMs) === true)
  }

  test('makes its node look busier and ejects nobody, for slow is not ill', async () => {
    const gateway = await openGateway({ nodes: 2 })
    await learnThenHang(gateway)
    await outrunBatches(gateway, 6)
    expect(hasFailedLately(gateway)).toEqual([true, false])
    expect([breakerOf(gateway, 0).state(), breakerOf(gateway, 1).state()]).toEqual(['closed', 'closed'])
    await expectIdle(gateway)
  })

  // Without retries, so that it is the copy that ends the wait, and not the deadline.
  test('counts as the hang that it is once its node is silent past its own budget', { timeout: 60_000 }, async () => {
    const fleet = { breaker: { consecutiveFailures: 1 }, deadlines: { firstFrameMsMin: 20 }, retry: { enabled: false } }
    const gateway = await openGateway({ nodes: 2, fleet })
    await learnThenHang(gateway)
    // The budget is at most ten times what a shard took here, more on a machine that stood still meanwhile. A copy is sent at 1.8 times
    // what the other node needs and answered at 2.8 times that: past the budget wherever it lies.
    const [node] = gateway.app.fleet.nodes
    const learnedMs = node === undefined ? null : (runnerOn(gateway.app, node)?.stats.requestMs ?? null)
    if (learnedMs === null) throw new Error('nothing was learned of node-1')
    gateway.sim('node-2').control.set('slow-head', { path: '/api/embed', delayMs: 5 * learnedMs })
    await outrunBatches(gateway, 1)
    expect([breakerOf(gateway, 0).state(), breakerOf(gateway, 1).state()]).toEqual(['open', 'closed'])
    await expectIdle(gateway)
  })
})
