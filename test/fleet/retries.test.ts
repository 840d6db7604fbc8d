// Before the first frame everything is tried again elsewhere, within bounds; after it never.

import { describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import type { FaultKind } from '../../src/sim/faults.ts'
import { startPacedNode } from '../deploy/paced-node.ts'
import { startApp } from '../support/gateway.ts'
import { ask, chatBody, isComplete, start } from './ask.ts'
import { asked, expectIdle, openGateway, until } from './gateway.ts'

const chat = '/api/chat'

/** Short deadlines: a hang is found in a quarter of a second. */
const hasty = { deadlines: { firstFrameMsMin: 250, firstFrameMsMax: 250 } }

describe('before the first frame', () => {
  const faults: readonly [FaultKind, Record<string, unknown>][] = [
    ['rst-before-head', {}],
    ['half-closed', {}],
    ['instant-503', {}],
    ['missing-model', {}],
    ['server-error', {}],
    ['hang-before-head', hasty],
    ['error-line', {}],
    ['truncate', {}],
    ['malformed-json', {}],
  ]

  test.each(faults)('%s of one node is answered by the other', async (kind, fleet) => {
    const gateway = await openGateway({ fleet })
    gateway.sim('node-1').control.set(kind, { path: chat, atFrame: 0 })
    for (let time = 0; time < 3; time += 1) {
      const reply = await ask(`${gateway.url}${chat}`, chatBody())
      expect(isComplete(reply), reply.text).toBe(true)
      expect(reply.node).toBe('node-2')
    }
    expect(asked(gateway, 'node-1', chat)).toBeGreaterThan(0)
    await expectIdle(gateway)
  })

  test('a refused connection is answered by the other at once, and costs no try', async () => {
    const gateway = await openGateway({
      nodes: 4,
      fleet: { probe: { intervalMs: 60_000 }, retry: { retriesMax: 0, budgetFloor: 0, budgetRatio: 0 } },
    })
    for (const name of ['node-1', 'node-2', 'node-3']) await gateway.sim(name).kill()
    const reply = await ask(`${gateway.url}${chat}`, chatBody())
    expect(isComplete(reply), reply.text).toBe(true)
    expect(reply.node).toBe('node-4')
    await expectIdle(gateway)
  })

  test('a reset at once is answered by another, and costs neither a try nor budget', async () => {
    const gateway = await openGateway({ nodes: 4, fleet: { retry: { retriesMax: 0, budgetFloor: 0, budgetRatio: 0 } } })
    for (const name of ['node-1', 'node-2']) gateway.sim(name).control.set('rst-before-head', { path: chat })
    const replies = await Promise.all(Array.from({ length: 4 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
    expect(asked(gateway, 'node-1', chat) + asked(gateway, 'node-2', chat)).toBeGreaterThan(0)
    await expectIdle(gateway)
  })

  test.each([
    { nodes: 2, retriesMax: 0, reached: 2 },
    { nodes: 4, retriesMax: 0, reached: 3 },
    { nodes: 4, retriesMax: 2, reached: 3 },
    { nodes: 8, retriesMax: 2, reached: 5 },
    { nodes: 4, retriesMax: 3, reached: 4 },
  ])('a request whose nodes all reset reaches $reached of $nodes with $retriesMax tries', async ({ nodes, retriesMax, reached }) => {
    const gateway = await openGateway({ nodes, fleet: { retry: { retriesMax } } })
    for (const sim of gateway.sims) sim.control.set('rst-before-head', { path: chat })
    expect((await ask(`${gateway.url}${chat}`, chatBody())).status).toBe(502)
    const times = gateway.sims.map((sim) => asked(gateway, sim.name, chat))
    expect(times.toSorted((a, b) => a - b)).toEqual(Array.from({ length: nodes }, (_, index) => (index < nodes - reached ? 0 : 1)))
    await expectIdle(gateway)
  })

  test.each([
    { afterMs: 0, status: 200 },
    { afterMs: 1_100, status: 502 },
  ])('a node lost $afterMs ms after the request was sent: without tries the answer is $status', async ({ afterMs, status }) => {
    const gateway = await openGateway({ nodes: 2, fleet: { retry: { retriesMax: 0 } } })
    gateway.app.fleet.setDraining('node-2', true)
    gateway.sim('node-1').control.set('hang-before-head', { path: chat })
    const asking = start(`${gateway.url}${chat}`, chatBody())
    await until(() => asked(gateway, 'node-1', chat) === 1, 'the node has the request')
    gateway.app.fleet.setDraining('node-2', false)
    await systemClock.sleep(afterMs)
    await gateway.sim('node-1').kill()
    expect((await asking.reply).status).toBe(status)
    await expectIdle(gateway)
  })

  test('a node is tried once and at most two others after it', async () => {
    const gateway = await openGateway({ nodes: 4 })
    for (const sim of gateway.sims) sim.control.set('server-error', { path: chat })
    const reply = await ask(`${gateway.url}${chat}`, chatBody())
    expect(reply.status).toBe(500)
    expect(reply.text).toBe('{"error":"an error was encountered while running the model: unexpected EOF"}')
    expect(gateway.sims.map((sim) => sim.stats().byPath[chat] ?? 0).toSorted((a, b) => a - b)).toEqual([0, 1, 1, 1])
    await expectIdle(gateway)
  })

  test('one budget bounds the retries of all requests', async () => {
    const [bad, good] = [await startPacedNode({ refuses: true }), await startPacedNode()]
    const fleet = {
      retry: { budgetFloor: 1, budgetRatio: 0 },
      breaker: { enabled: false },
      admission: { slotsAssumed: 8 },
      // What one of them is known by must not lead all to it.
      policy: 'least-loaded',
    }
    const { url, app } = await startApp(
      [
        { name: 'bad', url: bad.url },
        { name: 'good', url: good.url },
      ],
      { fleet },
    )
    await until(() => app.fleet.nodes.every(({ modelsKnown, loadedAtMs }) => modelsKnown && loadedAtMs > -Infinity), 'both are known')
    const asking = Array.from({ length: 8 }, () => ask(`${url}${chat}`, chatBody({ model: 'm' })))
    await until(() => app.calls.size > 0 && app.fleet.budget.taken === 1, 'one is tried again')
    // Those that wait at the good node keep the budget taken until they end.
    await until(() => good.held === app.calls.size, 'the rest waits or has failed')
    good.release()
    const replies = await Promise.all(asking)
    const failed = replies.filter(({ status }) => status === 500)
    const retried = replies.filter(({ headers }) => String(headers['x-corral-route']).startsWith('retry'))
    expect(retried).toHaveLength(1)
    expect(failed.length).toBeGreaterThan(0)
    // Nothing was asked of the bad node twice, and nothing failed elsewhere.
    expect(failed.length + retried.length).toBe(bad.asked)
    expect(bad.asked + good.asked).toBe(8 + retried.length)
    await expectIdle({ app })
  })

  test.each(['malformed-json', 'truncate'] as const)(
    'the first answer that is %s is repeated elsewhere, however small the budget',
    async (kind) => {
      const gateway = await openGateway({
        nodes: 2,
        fleet: { retry: { budgetFloor: 0, budgetRatio: 0 }, breaker: { enabled: false } },
        numParallel: 8,
      })
      gateway.sim('node-1').control.set(kind, { path: chat, atFrame: 0 })
      const replies = await Promise.all(Array.from({ length: 8 }, () => ask(`${gateway.url}${chat}`, chatBody())))
      expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
      expect(asked(gateway, 'node-1', chat)).toBeGreaterThan(0)
      await expectIdle(gateway)
    },
  )

  test('a node that hangs costs none of the requests that wait there, however small the budget', async () => {
    const gateway = await openGateway({
      nodes: 3,
      numParallel: 16,
      fleet: { ...hasty, admission: { slotsAssumed: 16 }, retry: { budgetFloor: 0, budgetRatio: 0 } },
    })
    gateway.sim('node-1').control.set('hang-before-head', { path: chat })
    for (const name of ['node-2', 'node-3']) gateway.sim(name).control.set('slow-head', { path: chat, delayMs: 100 })
    const replies = await Promise.all(Array.from({ length: 30 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
    expect(asked(gateway, 'node-1', chat)).toBeGreaterThan(5)
    await expectIdle(gateway)
  })

  test('a request whose fault is its own is passed on and never retried', async () => {
    const gateway = await openGateway()
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ think: true }))
    expect(reply.status).toBe(400)
    expect(asked(gateway, 'node-1', chat) + asked(gateway, 'node-2', chat)).toBe(1)
  })

  test('switched off, retries leave the first answer standing', async () => {
    const gateway = await openGateway({ fleet: { retry: { enabled: false } } })
    for (const sim of gateway.sims) sim.control.set('server-error', { path: chat })
    expect((await ask(`${gateway.url}${chat}`, chatBody())).status).toBe(500)
    expect(asked(gateway, 'node-1', chat) + asked(gateway, 'node-2', chat)).toBe(1)
  })
})

describe('a busy fleet', () => {
  test('is no ill fleet: 503s of all nodes are passed on with Retry-After and eject nobody', async () => {
    const gateway = await openGateway()
    for (const sim of gateway.sims) sim.control.set('instant-503', { path: chat })
    const replies = []
    for (let time = 0; time < 10; time += 1) replies.push(await ask(`${gateway.url}${chat}`, chatBody()))
    for (const { status, headers, text } of replies) {
      expect([status, text]).toEqual([503, '{"error":"server busy, please try again.  maximum pending requests exceeded"}'])
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1)
    }
    expect(gateway.app.fleet.nodes.map(({ breaker }) => breaker.state(performance.now()))).toEqual(['closed', 'closed'])
    for (const sim of gateway.sims) sim.control.clear()
    expect(isComplete(await ask(`${gateway.url}${chat}`, chatBody()))).toBe(true)
    await expectIdle(gateway)
  })
})

describe('after the first frame', () => {
  const doors: readonly [string, Record<string, unknown>, RegExp][] = [
    ['/api/chat', {}, /\n\{"error":"[^"]+"[^\n]*\}\n$/],
    ['/api/generate', { prompt: 'hello', messages: undefined }, /\n\{"error":"[^"]+"[^\n]*\}\n$/],
    ['/v1/chat/completions', { stream: true }, /\ndata: \{"error":\{"message":"[^"]+"[^\n]*\}\n\n$/],
    ['/v1/completions', { stream: true, prompt: 'hello', messages: undefined }, /\ndata: \{"error":\{"message":"[^"]+"[^\n]*\}\n\n$/],
    ['/v1/messages', { stream: true, max_tokens: 50 }, /\nevent: error\ndata: \{"type":"error","error":\{[^\n]*\}\n\n$/],
    ['/v1/responses', { stream: true, input: 'hello', messages: undefined }, /\nevent: (?:error|response\.failed)\ndata: \{[^\n]*\}\n\n$/],
  ]

  test.each(doors)(
    '%s: a stream that breaks off ends with an error of its dialect and is not tried elsewhere',
    async (path, change, end) => {
      const gateway = await openGateway()
      const askedBefore = asked(gateway, 'node-1', path) + asked(gateway, 'node-2', path)
      for (const sim of gateway.sims) sim.control.set('rst-at-frame', { path, atFrame: 6 })
      const reply = await ask(`${gateway.url}${path}`, { ...chatBody({ options: { num_predict: 40 } }), ...change })
      expect(reply.status).toBe(200)
      expect(reply.text).toMatch(end)
      expect(reply.text).not.toContain('"done":true')
      expect(reply.text).not.toContain('[DONE]')
      expect(reply.text).not.toContain('message_stop')
      expect(reply.text).not.toContain('response.completed')
      expect(asked(gateway, 'node-1', path) + asked(gateway, 'node-2', path) - askedBefore).toBe(1)
      await expectIdle(gateway)
    },
  )

  test.each(['truncate', 'malformed-json', 'error-line'] as const)('%s in mid-stream is told, not hidden', async (kind) => {
    const gateway = await openGateway()
    for (const sim of gateway.sims) sim.control.set(kind, { path: chat, atFrame: 3 })
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 40 } }))
    const lines = reply.text.trimEnd().split('\n')
    expect(lines.slice(0, -1).every((line) => line.includes('"done":false'))).toBe(true)
    expect(JSON.parse(lines.at(-1) ?? '')).toHaveProperty('error')
    expect(asked(gateway, 'node-1', chat) + asked(gateway, 'node-2', chat)).toBe(1)
    await expectIdle(gateway)
  })

  test('a stream that hangs is ended at the idle deadline, with an error', async () => {
    const gateway = await openGateway({ fleet: { deadlines: { idleMsMin: 200, idleMsMax: 300 } } })
    for (const sim of gateway.sims) sim.control.set('hang-mid-stream', { path: chat, atFrame: 2 })
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 40 } }))
    expect(reply.text).toMatch(/\n\{"error":"[^"]*sent nothing for[^\n]*\}\n$/)
    expect(reply.totalMs).toBeLessThan(1_500)
    await expectIdle(gateway)
    await until(() => gateway.sims.some((sim) => sim.stats().aborted === 1), 'the node is told')
  })

  test('two broken streams eject the node: the next ones are whole', async () => {
    const gateway = await openGateway({ nodes: 3 })
    const breaker = gateway.app.fleet.nodes[1]?.breaker
    gateway.sim('node-2').control.set('rst-at-frame', { path: chat, atFrame: 2 })
    const together = (count: number) => Promise.all(Array.from({ length: count }, () => ask(`${gateway.url}${chat}`, chatBody())))
    let broken = 0
    for (let round = 0; round < 20 && breaker?.state(performance.now()) !== 'open'; round += 1) {
      broken += (await together(3)).filter((reply) => !isComplete(reply)).length
    }
    expect(broken).toBe(2)
    expect((await together(20)).every(isComplete)).toBe(true)
  })
})

test('a client that leaves before the first frame ends the request at the node', async () => {
  const gateway = await openGateway()
  for (const sim of gateway.sims) sim.control.set('hang-before-head', { path: chat })
  const asking = start(`${gateway.url}${chat}`, chatBody())
  await until(() => gateway.sims.some((sim) => sim.stats().inFlight > 0), 'the node has the request')
  asking.leave()
  await until(() => gateway.sims.every((sim) => sim.stats().inFlight === 0), 'the node is left', 500)
  await expectIdle(gateway)
})
