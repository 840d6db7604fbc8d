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
    for (const body of [chatBody(), withContext(1e9), withContext(2_048)])
      expect(isComplete(await ask(`${gateway.url}${chat}`, body))).toBe(true)
    expect(await avoided(gateway)).toBe(3)
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
