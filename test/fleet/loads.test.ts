// Cold models are loaded by the gateway's own request, once, whoever waits and whoever leaves.

import { describe, expect, test } from 'vitest'

import type { SimModel } from '../../src/sim/node.ts'
import { ask, chatBody, isComplete, start } from './ask.ts'
import { asked, expectIdle, openGateway, until, warmUp } from './gateway.ts'

const chat = '/api/chat'
const generate = '/api/generate'

function simModel(name: string, change: Partial<SimModel> = {}): SimModel {
  return {
    name,
    sizeBytes: 2e9,
    family: 'llama',
    parameterSize: '3B',
    quantization: 'Q4_K_M',
    contextLength: 32_768,
    capabilities: ['completion'],
    loadMs: 4_000,
    ...change,
  }
}

const loadError = 'llama-server process has terminated: error loading model: unknown architecture'

const models = [simModel('llama3.2:3b'), simModel('other:latest'), simModel('broken:latest', { loadError })]

describe('a cold model', () => {
  test('twenty clients join one load: the node sees exactly one load request', async () => {
    const gateway = await openGateway({ nodes: 1, models, warm: false, numParallel: 4 })
    const replies = await Promise.all(Array.from({ length: 20 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.every(isComplete)).toBe(true)
    expect(asked(gateway, 'node-1', generate)).toBe(1)
    expect(asked(gateway, 'node-1', chat)).toBe(20)
    expect(gateway.sim('node-1').stats().loads).toBe(1)
    await expectIdle(gateway)
  })

  test('no request of a client is on the wire while it loads', async () => {
    const gateway = await openGateway({ nodes: 1, models, warm: false })
    const all = Array.from({ length: 5 }, () => ask(`${gateway.url}${chat}`, chatBody()))
    await until(() => asked(gateway, 'node-1', generate) === 1, 'the load was sent')
    await until(() => gateway.app.fleet.budget.active === 5, 'all wait')
    expect(asked(gateway, 'node-1', chat)).toBe(0)
    await Promise.all(all)
  })

  test('the client that started the load leaves: the load goes on and serves the others', async () => {
    const gateway = await openGateway({ nodes: 1, models, warm: false })
    const first = start(`${gateway.url}${chat}`, chatBody())
    await until(() => asked(gateway, 'node-1', generate) === 1, 'the load was sent')
    const second = start(`${gateway.url}${chat}`, chatBody())
    await until(() => gateway.app.fleet.budget.active === 2, 'both wait')
    first.leave()
    expect(isComplete(await second.reply)).toBe(true)
    expect(gateway.sim('node-1').stats()).toMatchObject({ loads: 1, aborted: 0, leakedSockets: 0 })
    expect(asked(gateway, 'node-1', generate)).toBe(1)
    await expectIdle(gateway)
  })

  test('everybody leaves: the load goes on and the next one finds the model warm', async () => {
    const gateway = await openGateway({ nodes: 1, models, warm: false })
    const first = start(`${gateway.url}${chat}`, chatBody())
    await until(() => asked(gateway, 'node-1', generate) === 1, 'the load was sent')
    first.leave()
    await until(() => gateway.sim('node-1').stats().loads === 1, 'it is loaded')
    expect(isComplete(await ask(`${gateway.url}${chat}`, chatBody()))).toBe(true)
    expect(gateway.sim('node-1').stats().loads).toBe(1)
    await expectIdle(gateway)
  })

  test('few clients load it on one node only, many on more', async () => {
    const gateway = await openGateway({ nodes: 3, models, warm: false, numParallel: 4 })
    const together = (count: number, tokens: number) =>
      Promise.all(Array.from({ length: count }, () => ask(`${gateway.url}${chat}`, chatBody({ options: { num_predict: tokens } }))))
    const loads = () => gateway.sims.reduce((sum, sim) => sum + sim.stats().loads, 0)
    expect((await together(3, 20)).every(isComplete)).toBe(true)
    expect(loads()).toBe(1)
    // So much to say that a line stands however slowly the clients come.
    expect((await together(40, 100)).every(isComplete)).toBe(true)
    await until(() => loads() > 1, 'others load it, too', 2_000)
  })

  test('a warm node is preferred to a load elsewhere', async () => {
    const gateway = await openGateway({ nodes: 2, models, warm: false })
    await ask(`${gateway.sim('node-2').url}${generate}`, { model: 'llama3.2:3b', stream: false })
    await Promise.all(gateway.app.fleet.nodes.map((node) => gateway.app.fleet.prober.refreshLoaded(node)))
    for (let time = 0; time < 4; time += 1) expect((await ask(`${gateway.url}${chat}`, chatBody())).node).toBe('node-2')
    expect(gateway.sim('node-1').stats().loads).toBe(0)
  })

  test('a model used only by name of its copy is not loaded again', async () => {
    const gateway = await openGateway({ nodes: 1, models })
    await ask(`${gateway.url}/api/copy`, { source: 'llama3.2:3b', destination: 'twin' })
    expect(isComplete(await ask(`${gateway.url}${chat}`, chatBody({ model: 'twin' })))).toBe(true)
    expect(gateway.sim('node-1').stats().loads).toBe(1)
  })
})

describe('a load that hangs', () => {
  test('is not waited for where another node can load', async () => {
    const gateway = await openGateway({ nodes: 2, models, warm: false })
    const { fleet } = gateway.app
    for (const name of ['node-1', 'node-2']) {
      const other = name === 'node-1' ? 'node-2' : 'node-1'
      fleet.setDraining(other, true)
      expect((await ask(`${gateway.url}${chat}`, chatBody())).node).toBe(name)
      fleet.setDraining(other, false)
    }
    await ask(`${gateway.url}${generate}`, { model: 'llama3.2:3b', keep_alive: 0 })
    await Promise.all(fleet.nodes.map((node) => fleet.prober.refreshLoaded(node)))
    gateway.sim('node-1').control.set('hang-before-head', { path: generate })
    fleet.setDraining('node-2', true)
    const before = asked(gateway, 'node-1', generate)
    const asking = start(`${gateway.url}${chat}`, chatBody())
    await until(() => asked(gateway, 'node-1', generate) > before, 'the load was sent')
    fleet.setDraining('node-2', false)
    const reply = await asking.reply
    expect(isComplete(reply), reply.text).toBe(true)
    expect(reply.node).toBe('node-2')
    expect(reply.totalMs).toBeLessThan(3_000)
  })
})

test('a load on a node that vanishes is given up, so that the node serves as soon as it is back', async () => {
  const gateway = await openGateway({ nodes: 1, models, warm: false, fleet: { probe: { intervalMs: 50, timeoutMs: 100 } } })
  const sim = gateway.sim('node-1')
  const [node] = gateway.app.fleet.nodes
  sim.control.set('hang-before-head')
  const asking = start(`${gateway.url}${chat}`, chatBody())
  await until(() => asked(gateway, 'node-1', generate) === 1, 'the load was sent')
  await until(() => node?.up === false, 'it is down')
  await asking.reply.catch(() => undefined)
  sim.control.clear()
  await until(() => node?.up === true, 'it is up')
  const reply = await ask(`${gateway.url}${chat}`, chatBody())
  expect(isComplete(reply), reply.text).toBe(true)
  await expectIdle(gateway)
})

describe('a runner that died', () => {
  test('is loaded again by one request of the gateway, for all who wait', async () => {
    const gateway = await openGateway({ nodes: 1, models, numParallel: 4 })
    gateway.sim('node-1').control.set('runner-death', { atFrame: 1, count: 1 })
    expect(isComplete(await ask(`${gateway.url}${chat}`, chatBody()))).toBe(false)
    const before = asked(gateway, 'node-1', generate)
    const all = Array.from({ length: 10 }, () => ask(`${gateway.url}${chat}`, chatBody()))
    await until(() => asked(gateway, 'node-1', generate) === before + 1, 'the load was sent')
    expect(asked(gateway, 'node-1', chat)).toBe(1)
    expect((await Promise.all(all)).every(isComplete)).toBe(true)
    expect(asked(gateway, 'node-1', generate)).toBe(before + 1)
    await expectIdle(gateway)
  })
})

describe('a load that fails', () => {
  test("is told with the node's own error, after a few tries", async () => {
    const gateway = await openGateway({ nodes: 1, models, warm: false })
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ model: 'broken' }))
    expect(reply.status).toBe(500)
    expect(JSON.parse(reply.text)).toHaveProperty('error', expect.stringContaining(loadError))
    expect(asked(gateway, 'node-1', generate)).toBeLessThanOrEqual(3)
    await expectIdle(gateway)
  })

  test('on one node is tried on another', async () => {
    const gateway = await openGateway({
      nodes: [{ models: [simModel('llama3.2:3b', { loadError })] }, { models: [simModel('llama3.2:3b')] }],
      warm: false,
    })
    const replies = await Promise.all(Array.from({ length: 4 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.every(isComplete), replies[0]?.text).toBe(true)
    expect(new Set(replies.map(({ node }) => node))).toEqual(new Set(['node-2']))
    await expectIdle(gateway)
  })

  test.each([1, 40])('on four of eight nodes fails no one of %i who wait', async (count) => {
    const bad = { models: [simModel('llama3.2:3b', { loadError })] }
    const good = { models: [simModel('llama3.2:3b')] }
    const gateway = await openGateway({ nodes: [bad, bad, bad, bad, good, good, good, good], warm: false })
    const replies = await Promise.all(Array.from({ length: count }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
    await expectIdle(gateway)
  })

  test('by the death of its process is started again', async () => {
    const gateway = await openGateway({ nodes: 1, models, warm: false })
    const asking = ask(`${gateway.url}${chat}`, chatBody())
    await until(() => asked(gateway, 'node-1', generate) === 1, 'the load was sent')
    gateway.sim('node-1').control.set('runner-death')
    const reply = await asking
    expect(isComplete(reply), reply.text).toBe(true)
    expect(asked(gateway, 'node-1', generate)).toBe(2)
    await expectIdle(gateway)
  })
})

test('switched off, a load is left to the request itself', async () => {
  const gateway = await openGateway({ nodes: 1, models, warm: false, fleet: { loads: { enabled: false } } })
  expect(isComplete(await ask(`${gateway.url}${chat}`, chatBody()))).toBe(true)
  expect(asked(gateway, 'node-1', generate)).toBe(0)
})

test('warm models of all nodes are used without any load by the gateway', async () => {
  const gateway = await openGateway({ nodes: 2, models })
  await warmUp(gateway, 'other:latest')
  const before = gateway.sims.map((sim) => sim.stats().byPath[generate])
  await Promise.all(['llama3.2:3b', 'other', 'llama3.2:3b', 'other'].map((model) => ask(`${gateway.url}${chat}`, chatBody({ model }))))
  expect(gateway.sims.map((sim) => sim.stats().byPath[generate])).toEqual(before)
})
