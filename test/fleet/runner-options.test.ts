// Clients with different runner options: one fingerprint per busy model, nobody starved, reloads avoided where a policy says so.

import { describe, expect, test } from 'vitest'

import { ask, chatBody, isComplete, start } from './ask.ts'
import { asked, expectIdle, type Gateway, openGateway, until } from './gateway.ts'

const chat = '/api/chat'

function withContext(num_ctx: number, num_predict = 5): Record<string, unknown> {
  return chatBody({ options: { num_ctx, num_predict } })
}

/** Alternating clients of two context lengths; all answers. */
function alternating(gateway: Gateway, count: number) {
  return Promise.all(
    Array.from({ length: count }, (_, index) => ask(`${gateway.url}${chat}`, withContext(index % 2 === 0 ? 1_024 : 2_048))),
  )
}

describe('one fingerprint per busy model', () => {
  test('two clients with different num_ctx are both served, without wedging the node', async () => {
    const gateway = await openGateway({ nodes: 1, numParallel: 4 })
    const replies = await alternating(gateway, 12)
    expect(replies.every(isComplete)).toBe(true)
    const after = await ask(`${gateway.url}${chat}`, chatBody())
    expect(isComplete(after)).toBe(true)
    await expectIdle(gateway)
  })

  test('no request with other options is sent while answers run', async () => {
    const gateway = await openGateway({ nodes: 1, numParallel: 4, speed: 2 })
    const running = start(`${gateway.url}${chat}`, withContext(2_048, 60))
    await running.head
    const before = asked(gateway, 'node-1', chat) + asked(gateway, 'node-1', '/api/generate')
    const other = start(`${gateway.url}${chat}`, withContext(1_024))
    await until(() => gateway.app.fleet.budget.active === 2, 'the other waits')
    const same = await ask(`${gateway.url}${chat}`, withContext(2_048))
    expect(isComplete(same)).toBe(true)
    expect(asked(gateway, 'node-1', chat) + asked(gateway, 'node-1', '/api/generate')).toBe(before + 1)
    expect(isComplete(await running.reply)).toBe(true)
    expect(isComplete(await other.reply)).toBe(true)
    await expectIdle(gateway)
  })

  test('a steady stream of one length does not starve another for longer than the gate is patient', async () => {
    const gateway = await openGateway({ nodes: 1, numParallel: 2, fleet: { admission: { slotsAssumed: 2, slotsMax: 2 } } })
    const storm = { over: false }
    // Four times as many as slots: whenever one ends another of them waits already.
    const steady = Array.from({ length: 8 }, async () => {
      let whole = true
      while (!storm.over) whole &&= isComplete(await ask(`${gateway.url}${chat}`, withContext(2_048)))
      return whole
    })
    await until(() => asked(gateway, 'node-1', chat) > 10, 'the storm runs')
    const reply = await ask(`${gateway.url}${chat}`, withContext(1_024))
    storm.over = true
    expect(isComplete(reply)).toBe(true)
    expect(reply.totalMs).toBeLessThan(3_000)
    expect(new Set(await Promise.all(steady))).toEqual(new Set([true]))
    await expectIdle(gateway)
  })
})

describe('variants of one model', () => {
  const base = 'llama3.2:3b'

  async function variants(options: Parameters<typeof openGateway>[0] = {}): Promise<Gateway> {
    const gateway = await openGateway({ nodes: 1, warm: false, ...options })
    for (const num_ctx of [2_048, 4_096]) await create(gateway, `v${num_ctx}`, { num_ctx })
    await learn(gateway)
    return gateway
  }

  async function create({ sims }: Gateway, model: string, parameters: Record<string, unknown>): Promise<void> {
    for (const { url } of sims) await ask(`${url}/api/create`, { model, from: base, parameters, stream: false })
  }

  /** The gateway has read the lists, and asked for what it did not know. */
  async function learn(gateway: Gateway): Promise<void> {
    const { prober, pools, nodes } = gateway.app.fleet
    await prober.refreshModels()
    const runners = () => nodes.flatMap((node) => [base, 'v2048:latest', 'v4096:latest'].map((model) => pools.runner(node, model, true)))
    await until(() => new Set(runners()).size === nodes.length, 'it knows that they are one runner')
    expect(asked(gateway, 'node-1', '/api/show')).toBe(3)
  }

  const say = (model: string, fields: Record<string, unknown> = {}) => ({
    ...chatBody({ options: { num_predict: 5 } }),
    model,
    ...fields,
  })

  /** One client that sends the next request when the last one is answered. */
  async function inTurn(gateway: Gateway, model: string, count: number): Promise<boolean> {
    let whole = true
    for (let time = 0; time < count; time += 1) whole &&= isComplete(await ask(`${gateway.url}${chat}`, say(model)))
    return whole
  }

  test('are one runner: two clients that alternate cost no more loads than changes', async () => {
    const gateway = await variants()
    expect(await Promise.all([inTurn(gateway, 'v2048', 6), inTurn(gateway, 'v4096', 6)])).toEqual([true, true])
    expect(gateway.sim('node-1').stats().loads).toBeLessThanOrEqual(12)
    await expectIdle(gateway)
  })

  test('do not wedge a node: while one answers, another waits in the gateway', async () => {
    const gateway = await variants({ speed: 2, fleet: { watchdog: { enabled: false } } })
    const { url } = gateway
    const first = start(`${url}${chat}`, say('v2048', { keep_alive: '10m', options: { num_predict: 60 } }))
    await first.head
    const other = start(`${url}${chat}`, say('v4096'))
    await until(() => gateway.app.fleet.budget.active === 2, 'the other waits')
    expect(isComplete(await ask(`${url}${chat}`, say('v2048', { keep_alive: '10m' })))).toBe(true)
    expect(isComplete(await first.reply)).toBe(true)
    expect(isComplete(await other.reply)).toBe(true)
    expect(gateway.sim('node-1').stats().loads).toBe(2)
    await expectIdle(gateway)
  })

  test('a steady stream of one does not starve another', async () => {
    const gateway = await variants({ numParallel: 2, fleet: { admission: { slotsAssumed: 2, slotsMax: 2 } } })
    const storm = { over: false }
    const steady = Array.from({ length: 8 }, async () => {
      let whole = true
      while (!storm.over) whole &&= isComplete(await ask(`${gateway.url}${chat}`, say('v2048')))
      return whole
    })
    await until(() => asked(gateway, 'node-1', chat) > 10, 'the storm runs')
    const reply = await ask(`${gateway.url}${chat}`, say('v4096'))
    storm.over = true
    expect(isComplete(reply)).toBe(true)
    expect(reply.totalMs).toBeLessThan(3_000)
    expect(new Set(await Promise.all(steady))).toEqual(new Set([true]))
    await expectIdle(gateway)
  })

  test('with the options of a request over those of the Modelfile: equal ones need no load', async () => {
    const gateway = await variants()
    for (const model of ['v4096', base, 'v2048']) {
      const body = say(model, { options: { num_ctx: 4_096, num_predict: 5 } })
      expect(isComplete(await ask(`${gateway.url}${chat}`, body))).toBe(true)
    }
    expect(isComplete(await ask(`${gateway.url}${chat}`, say('v4096')))).toBe(true)
    expect(gateway.sim('node-1').stats().loads).toBe(1)
  })

  test('each digest is asked for once, and only where another one may share its weights', async () => {
    const gateway = await variants()
    await gateway.app.fleet.prober.refreshModels()
    await gateway.app.fleet.prober.refreshModels()
    expect(asked(gateway, 'node-1', '/api/show')).toBe(3)
    const plain = await openGateway({ nodes: 1, warm: false })
    await plain.app.fleet.prober.refreshModels()
    expect(asked(plain, 'node-1', '/api/show')).toBe(0)
  })

  test('a variant that was deleted behind our back is missing alone', async () => {
    const gateway = await variants()
    expect(await inTurn(gateway, 'v2048', 1)).toBe(true)
    await ask(`${gateway.sim('node-1').url}/api/delete`, { model: 'v2048' }, { method: 'DELETE' })
    expect((await ask(`${gateway.url}${chat}`, say('v2048'))).status).toBe(404)
    expect(await inTurn(gateway, 'v4096', 1)).toBe(true)
    const { pools, nodes, prober } = gateway.app.fleet
    await prober.refreshModels()
    expect(nodes.map((node) => pools.runner(node, 'v4096:latest', true).model)).toEqual(['v4096:latest'])
  })

  test('became known while both were in use: what runs ends, and they are one runner', async () => {
    const gateway = await openGateway({ nodes: 1, warm: false, speed: 10 })
    gateway.sim('node-1').control.set('slow-head', { path: '/api/show', delayMs: 100 })
    for (const num_ctx of [2_048, 4_096]) await create(gateway, `v${num_ctx}`, { num_ctx })
    await gateway.app.fleet.prober.refreshModels()
    const both = ['v2048', 'v4096'].map((model) => start(`${gateway.url}${chat}`, say(model)))
    await learn(gateway)
    for (const { reply } of both) expect(isComplete(await reply)).toBe(true)
    expect(await Promise.all([inTurn(gateway, 'v2048', 2), inTurn(gateway, 'v4096', 2)])).toEqual([true, true])
    await expectIdle(gateway)
  })
})

describe('policies', () => {
  /** Avoided reloads as `/metrics` tells them. */
  async function avoided(gateway: Gateway): Promise<number> {
    const { body } = await gateway.app.observer.metrics.render()
    const line = body.split('\n').find((each) => each.startsWith('corral_model_reloads_avoided_total{'))
    return line === undefined ? 0 : Number(line.split(' ').at(-1))
  }

  async function loadsOf(numCtx: Record<string, unknown>): Promise<{ loads: number; gateway: Gateway }> {
    const gateway = await openGateway({ nodes: 1, fleet: { numCtx } })
    for (let time = 0; time < 8; time += 1) {
      expect(isComplete(await ask(`${gateway.url}${chat}`, withContext(time % 2 === 0 ? 8_192 : 2_048)))).toBe(true)
    }
    return { loads: gateway.sim('node-1').stats().loads - 1, gateway }
  }

  test('pass reloads at each change', async () => {
    const { loads, gateway } = await loadsOf({ policy: 'pass' })
    expect(loads).toBe(8)
    expect(await avoided(gateway)).toBe(0)
  })

  test('max loads once and counts the reloads avoided', async () => {
    const { loads, gateway } = await loadsOf({ policy: 'max' })
    expect(loads).toBe(1)
    expect(await avoided(gateway)).toBe(4)
  })

  test('max does not give all what no body can hold', async () => {
    const gateway = await openGateway({ nodes: 1, fleet: { numCtx: { policy: 'max' } } })
    const body = Buffer.from(JSON.stringify(withContext(7)).replace('"num_ctx":7', '"num_ctx":1e400'))
    await ask(`${gateway.url}${chat}`, body)
    expect(isComplete(await ask(`${gateway.url}${chat}`, chatBody()))).toBe(true)
  })

  test('max gives all no more than the model can have', async () => {
    const gateway = await openGateway({ nodes: 1, fleet: { numCtx: { policy: 'max' } } })
    expect(isComplete(await ask(`${gateway.url}${chat}`, withContext(1e9)))).toBe(true)
    const grown = (): string => gateway.app.fleet.engineOf('llama3.2:3b')
    await until(() => !grown().endsWith(';1000000000'), 'the node was asked what it made of it')
    expect(grown()).toMatch(/;131072$/)
    for (const body of [chatBody(), withContext(2_048)]) expect(isComplete(await ask(`${gateway.url}${chat}`, body))).toBe(true)
    // The first of them is loaded for by the gateway, which the node has done already.
    expect(gateway.sim('node-1').stats().loads).toBe(2)
    expect(await avoided(gateway)).toBe(2)
  })

  test('fixed loads once', async () => {
    const { loads, gateway } = await loadsOf({ policy: 'fixed', value: 8_192 })
    expect(loads).toBe(1)
    expect(await avoided(gateway)).toBe(4)
  })

  test('fixed without a value keeps what the node has', async () => {
    const { loads } = await loadsOf({ policy: 'fixed' })
    expect(loads).toBe(0)
  })

  test('bucket loads once for lengths of one bucket', async () => {
    const { loads } = await loadsOf({ policy: 'bucket', buckets: [8_192] })
    expect(loads).toBe(1)
  })
})
