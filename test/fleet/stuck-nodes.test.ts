// Nodes that look healthy and are not: wedged schedulers, frozen runners, requests that hang, and the long prefills that only look so.

import { describe, expect, test } from 'vitest'

import { ask, type Asking, chatBody, isComplete, start } from './ask.ts'
import { asked, chatInTurn, expectIdle, type Gateway, openGateway, until } from './gateway.ts'

const chat = '/api/chat'

/**
 * Three requests beside the gateway after which the node is idle, looks healthy and loads nothing until a `keep_alive` of ten
 * minutes has passed: its loader waits for the first model to go, and the third request has renewed that model's session.
 */
async function wedge(gateway: Gateway): Promise<void> {
  const { url } = gateway.sim('node-1')
  const direct = (num_ctx: number, num_predict: number) =>
    start(`${url}${chat}`, chatBody({ keep_alive: '10m', options: { num_ctx, num_predict } }))
  const long = direct(2_048, 80)
  await long.head
  direct(1_024, 1)
  await until(() => asked(gateway, 'node-1', chat) === 2, 'the other arrived')
  await direct(2_048, 1).reply
  await long.reply
}

function askCold(gateway: Gateway): Asking {
  return start(`${gateway.url}${chat}`, chatBody({ model: 'qwen3:8b' }))
}

/** Slow enough that the four requests overlap. */
const patient = { nodes: 1, numParallel: 4, warm: false, speed: 3, answerTokens: [80, 80] } as const
const quick = { watchdog: { wedgedAfterMs: 700, checkIntervalMs: 20 } }

describe('a scheduler wedged by foreign clients', () => {
  test('is freed by the watchdog: a cold model is loaded long before the keep-alive ends', async () => {
    const gateway = await openGateway({ ...patient, fleet: quick })
    await wedge(gateway)
    const reply = await askCold(gateway).reply
    expect(isComplete(reply), reply.text).toBe(true)
    expect(reply.totalMs).toBeLessThan(3_000)
    expect(gateway.app.fleet.watchdog.freed).toBe(1)
    await expectIdle(gateway)
  })

  test('stays wedged without the watchdog', async () => {
    const gateway = await openGateway({ ...patient, fleet: { ...quick, watchdog: { enabled: false } } })
    await wedge(gateway)
    const cold = askCold(gateway)
    await until(() => asked(gateway, 'node-1', '/api/generate') === 1, 'the load was sent')
    const loaded = await ask(`${gateway.sim('node-1').url}${chat}`, chatBody({ options: { num_ctx: 2_048, num_predict: 1 } }))
    expect(isComplete(loaded), loaded.text).toBe(true)
    const answered = await Promise.race([cold.head.then(() => true), new Promise<false>((resolve) => setTimeout(resolve, 2_500, false))])
    expect(answered).toBe(false)
    cold.leave()
  })

  test('is no reason to unload a model in which an answer runs', async () => {
    const gateway = await openGateway({
      nodes: 1,
      speed: 2,
      numParallel: 2,
      fleet: { ...quick, watchdog: { wedgedAfterMs: 100, checkIntervalMs: 20 } },
    })
    const running = start(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 120 } }))
    await running.head
    const cold = await ask(`${gateway.url}${chat}`, chatBody({ model: 'qwen3:8b' }))
    expect(isComplete(cold), cold.text).toBe(true)
    expect(isComplete(await running.reply)).toBe(true)
    expect(gateway.app.fleet.watchdog.freed).toBe(0)
  })
})

describe('a frozen runner', () => {
  test('in mid-stream is found by the idle deadline; the stream ends with an error', async () => {
    const gateway = await openGateway({ nodes: 2, speed: 2, fleet: { deadlines: { idleMsMin: 300, idleMsMax: 400 } } })
    const asking = start(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 100 } }))
    const { node } = await asking.head
    gateway.sim(node).control.set('frozen-runner')
    const reply = await asking.reply
    expect(reply.text).toMatch(/\n\{"error":"[^\n]*sent nothing for[^\n]*\}\n$/)
    await expectIdle(gateway)
  })

  test('before the first frame is found by the first-frame deadline and answered elsewhere', async () => {
    const gateway = await openGateway({ nodes: 2, fleet: { deadlines: { firstFrameMsMin: 300, firstFrameMsMax: 300 } } })
    gateway.sim('node-1').control.set('frozen-runner')
    const replies = []
    for (let time = 0; time < 4; time += 1) replies.push(await ask(`${gateway.url}${chat}`, chatBody()))
    expect(replies.every(isComplete)).toBe(true)
    expect(replies.every(({ node }) => node === 'node-2')).toBe(true)
    await expectIdle(gateway)
  })
})

describe('silence before the first frame', () => {
  // Scaled: 2,000 tokens/s read 2,400 tokens in 1.2 s; the least budget is 0.3 s, so the time comes from what was learned.
  const learned = { deadlines: { firstFrameMsMin: 300, firstFrameMsMax: 60_000 } }
  const prompt = (words: number) =>
    chatBody({ messages: [{ role: 'user', content: Array.from({ length: words }, (_, index) => `w${index}`).join(' ') }] })

  test('a long prefill is waited for, four times the least budget and more', async () => {
    const gateway = await openGateway({ nodes: 2, speed: 1, fleet: learned })
    for (const node of gateway.app.fleet.nodes) node.draining = node.name === 'node-2'
    gateway.app.fleet.catalogue.invalidate()
    for (let time = 0; time < 4; time += 1) await ask(`${gateway.url}${chat}`, prompt(100 + time))
    gateway.app.fleet.setDraining('node-2', false)
    const before = asked(gateway, 'node-1', chat) + asked(gateway, 'node-2', chat)
    const reply = await ask(`${gateway.url}${chat}`, prompt(1_800))
    expect(isComplete(reply)).toBe(true)
    expect(reply.headMs).toBeGreaterThan(900)
    expect(asked(gateway, 'node-1', chat) + asked(gateway, 'node-2', chat)).toBe(before + 1)
  })

  test('a hang of the same node is found within its budget', async () => {
    const gateway = await openGateway({ nodes: 2, fleet: learned })
    await Promise.all(Array.from({ length: 16 }, () => ask(`${gateway.url}${chat}`, prompt(60))))
    await Promise.all(Array.from({ length: 16 }, () => ask(`${gateway.url}${chat}`, prompt(60))))
    gateway.sim('node-1').control.set('hang-before-head', { path: chat })
    const replies = await Promise.all(Array.from({ length: 4 }, () => ask(`${gateway.url}${chat}`, prompt(60))))
    expect(replies.every(isComplete)).toBe(true)
    expect(Math.max(...replies.map(({ headMs }) => headMs))).toBeLessThan(1_500)
    await expectIdle(gateway)
  })

  test.each([chat, '/v1/chat/completions'])(
    'a hang is found within the least budget on %s, where nothing is learned of prefill',
    async (path) => {
      const gateway = await openGateway({ nodes: 2, fleet: learned })
      const greet = () => ask(`${gateway.url}${path}`, chatBody({ stream: true, max_tokens: 5 }))
      for (let time = 0; time < 4; time += 1) await Promise.all(Array.from({ length: 4 }, greet))
      gateway.sim('node-1').control.set('hang-before-head', { path })
      const replies = await Promise.all(Array.from({ length: 6 }, greet))
      expect(replies.map(({ node, text }) => node ?? text)).toEqual(Array(6).fill('node-2'))
      expect(Math.max(...replies.map(({ headMs }) => headMs))).toBeLessThan(1_500)
      await expectIdle(gateway)
    },
  )

  /** Two nodes that have answered enough for a short budget, and wait up to `firstFrameMsMax` otherwise. */
  async function learnedPair(firstFrameMsMax: number, nodes = 2): Promise<Gateway> {
    const gateway = await openGateway({ nodes, fleet: { deadlines: { firstFrameMsMin: 300, firstFrameMsMax } } })
    for (let time = 0; time < 4; time += 1) await Promise.all(Array.from({ length: 4 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    return gateway
  }
  const askedOf = (gateway: Gateway): number => gateway.sims.reduce((sum, sim) => sum + (sim.stats().byPath[chat] ?? 0), 0)

  test('of both nodes for longer than expected costs one retry and no failure', async () => {
    const gateway = await learnedPair(60_000)
    for (const sim of gateway.sims) sim.control.set('slow-head', { path: chat, delayMs: 900 })
    const before = askedOf(gateway)
    const reply = await ask(`${gateway.url}${chat}`, chatBody())
    expect(isComplete(reply), reply.text).toBe(true)
    expect(askedOf(gateway)).toBe(before + 2)
    expect(reply.headMs).toBeGreaterThan(1_200)
    await expectIdle(gateway)
  })

  test('is waited for where no other node can take the request', async () => {
    const gateway = await learnedPair(60_000, 1)
    gateway.sim('node-1').control.set('slow-head', { path: chat, delayMs: 900 })
    const before = askedOf(gateway)
    expect(isComplete(await ask(`${gateway.url}${chat}`, chatBody()))).toBe(true)
    expect(askedOf(gateway)).toBe(before + 1)
  })

  test('is waited for while the other is drained, and ends once that one is back', async () => {
    const gateway = await learnedPair(60_000)
    gateway.app.fleet.setDraining('node-2', true)
    gateway.sim('node-1').control.set('hang-before-head', { path: chat })
    const asking = start(`${gateway.url}${chat}`, chatBody())
    await new Promise((resolve) => setTimeout(resolve, 600))
    expect(gateway.app.fleet.activeAttempts).toBe(1)
    gateway.app.fleet.setDraining('node-2', false)
    const reply = await asking.reply
    expect([reply.node, isComplete(reply)]).toEqual(['node-2', true])
    expect(reply.totalMs).toBeLessThan(1_500)
    await expectIdle(gateway)
  })

  test('of the second node too ends at the last deadline, with an error', async () => {
    const gateway = await learnedPair(900)
    for (const sim of gateway.sims) sim.control.set('hang-before-head', { path: chat })
    const reply = await ask(`${gateway.url}${chat}`, chatBody())
    expect(reply.status).toBe(504)
    expect(reply.text).toContain('sent nothing for')
    expect(reply.totalMs).toBeGreaterThan(1_200)
    await expectIdle(gateway)
  })

  test('is waited for by a request that two resets left without a try', async () => {
    const gateway = await learnedPair(60_000, 4)
    const { fleet } = gateway.app
    const resetting = ['node-1', 'node-2']
    const busy = ['node-3', 'node-4']
    // A stream that stands still on each of the other two: they are asked last, and their runners are silent.
    for (const name of resetting) fleet.setDraining(name, true)
    for (const name of busy) gateway.sim(name).control.set('hang-mid-stream', { path: chat, count: 1 })
    const streams = busy.map(() => start(`${gateway.url}${chat}`, chatBody()))
    await Promise.all(streams.map(({ head }) => head))
    for (const name of busy) gateway.sim(name).control.set('slow-head', { path: chat, delayMs: 900, count: 1 })
    for (const name of resetting) {
      gateway.sim(name).control.set('rst-before-head', { path: chat })
      fleet.setDraining(name, false)
    }
    const reply = await ask(`${gateway.url}${chat}`, chatBody())
    expect(isComplete(reply), reply.text).toBe(true)
    expect(reply.headMs).toBeGreaterThan(890)
    expect(resetting.every((name) => asked(gateway, name, chat) > 0)).toBe(true)
    for (const stream of streams) stream.leave()
    await expectIdle(gateway)
  })

  test('with retries switched off ends at the last deadline only', async () => {
    const gateway = await openGateway({ fleet: { ...learned, retry: { enabled: false } } })
    for (let time = 0; time < 4; time += 1) await Promise.all(Array.from({ length: 4 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    for (const sim of gateway.sims) sim.control.set('slow-head', { path: chat, delayMs: 900 })
    expect(isComplete(await ask(`${gateway.url}${chat}`, chatBody()))).toBe(true)
  })

  test('is found within the budget and 100 ms, whatever the moment', async () => {
    const gateway = await learnedPair(60_000, 3)
    gateway.sim('node-1').control.set('hang-before-head', { path: chat })
    const replies = []
    for (let time = 0; time < 3; time += 1) {
      replies.push(...(await Promise.all(Array.from({ length: 3 }, () => ask(`${gateway.url}${chat}`, chatBody())))))
    }
    const moved = replies.filter(({ headers }) => String(headers['x-corral-route']).startsWith('retry'))
    expect(replies.every(isComplete)).toBe(true)
    expect(moved.length).toBeGreaterThan(0)
    // The budget, half of 100 ms for the sweep, and the answer of the other node.
    for (const { headMs } of moved) expect(headMs).toBeLessThan(300 + 100 + 100)
  })

  test('of a node that is asked about a model is found within its own deadline and answered elsewhere', async () => {
    const gateway = await openGateway({ fleet: { deadlines: { firstFrameMsMin: 300, firstFrameMsMax: 60_000, lookupMsMax: 700 } } })
    const show = '/api/show'
    gateway.sim('node-1').control.set('hang-before-head', { path: show })
    const replies = await Promise.all(Array.from({ length: 4 }, () => ask(`${gateway.url}${show}`, { model: 'llama3.2:3b' })))
    expect(replies.map(({ status, node }) => [status, node])).toEqual(Array.from({ length: 4 }, () => [200, 'node-2']))
    expect(asked(gateway, 'node-1', show)).toBeGreaterThan(0)
    expect(Math.max(...replies.map(({ headMs }) => headMs))).toBeLessThan(600)

    gateway.sim('node-2').control.set('hang-before-head', { path: show })
    const reply = await ask(`${gateway.url}${show}`, { model: 'llama3.2:3b' })
    expect(reply.status).toBe(504)
    expect(reply.totalMs).toBeLessThan(2_500)
    await expectIdle(gateway)
  })

  test('a cold load of any length is no hang', async () => {
    const gateway = await openGateway({
      nodes: 1,
      warm: false,
      speed: 1,
      fleet: { deadlines: { firstFrameMsMin: 100, firstFrameMsMax: 1_000 } },
    })
    const reply = await ask(`${gateway.url}${chat}`, chatBody())
    expect(isComplete(reply), reply.text).toBe(true)
    expect(reply.headMs).toBeGreaterThan(1_400)
    expect(gateway.sim('node-1').stats().loads).toBe(1)
    await chatInTurn(gateway, 1)
  })
})
