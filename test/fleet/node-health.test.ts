// Nodes that die, return, drain, flap, are ejected together or start slowly.

import { describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { ask, chatBody, isComplete, start } from './ask.ts'
import { asked, chatInTurn, expectIdle, type Gateway, openGateway, until } from './gateway.ts'

const chat = '/api/chat'

function nodeOf(gateway: Gateway, name: string) {
  const node = gateway.app.fleet.nodes.find((candidate) => candidate.name === name)
  if (node === undefined) throw new Error(`no node ${name}`)
  return node
}

describe('down and up', () => {
  test('a killed node is down and a restarted one up within 1.1 s by the default probes', async () => {
    const gateway = await openGateway({ nodes: 2 })
    const node = nodeOf(gateway, 'node-1')
    await gateway.sim('node-1').kill()
    await until(() => node.up === false, 'it is down', 1_100)
    expect(node.downReason).toContain('connection refused')
    await gateway.sim('node-1').restart()
    await until(() => node.up === true, 'it is up', 1_100)
  })

  test('a request that finds the connection refused marks the node down at once', async () => {
    const gateway = await openGateway({ nodes: 2, fleet: { probe: { intervalMs: 60_000 } } })
    await gateway.sim('node-1').kill()
    await chatInTurn(gateway, 3)
    expect(nodeOf(gateway, 'node-1').up).toBe(false)
  })

  test('a node that accepts and never answers is down after two missed probes, and its waiting requests move', async () => {
    const gateway = await openGateway({ nodes: 2, fleet: { probe: { intervalMs: 100, timeoutMs: 100 } } })
    gateway.sim('node-1').control.set('hang-before-head')
    const replies = await Promise.all(Array.from({ length: 6 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.every(isComplete)).toBe(true)
    expect(nodeOf(gateway, 'node-1').up).toBe(false)
    expect(Math.max(...replies.map(({ headMs }) => headMs))).toBeLessThan(2_000)
    await expectIdle(gateway)
  })

  test('by the default probes that takes at most 3.5 s', async () => {
    const gateway = await openGateway({ nodes: 2 })
    const node = nodeOf(gateway, 'node-1')
    // Just after a good probe: the longest way to the second missed one.
    const before = asked(gateway, 'node-1', '/api/version')
    await until(() => asked(gateway, 'node-1', '/api/version') > before, 'a probe ran')
    await until(() => gateway.sim('node-1').stats().inFlight === 0, 'it is answered')
    gateway.sim('node-1').control.set('hang-before-head')
    const replies = await Promise.all(Array.from({ length: 6 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.every(isComplete)).toBe(true)
    expect(node.up).toBe(false)
    expect(Math.max(...replies.map(({ headMs }) => headMs))).toBeLessThan(3_500)
  })

  test('one missed probe is no reason', async () => {
    const gateway = await openGateway({ nodes: 1, fleet: { probe: { intervalMs: 50, timeoutMs: 100 } } })
    const sim = gateway.sim('node-1')
    sim.control.set('hang-before-head', { path: '/api/version', count: 1 })
    const before = asked(gateway, 'node-1', '/api/version')
    await until(() => asked(gateway, 'node-1', '/api/version') > before + 2, 'later probes ran')
    expect(nodeOf(gateway, 'node-1').up).toBe(true)
  })

  test('a slow list of loaded models does not take the node down', async () => {
    const gateway = await openGateway({ nodes: 1, fleet: { probe: { intervalMs: 50, timeoutMs: 100, loadedIntervalMs: 50 } } })
    gateway.sim('node-1').control.set('hang-before-head', { path: '/api/ps' })
    const before = asked(gateway, 'node-1', '/api/version')
    await until(() => asked(gateway, 'node-1', '/api/version') > before + 4, 'probes ran')
    expect(nodeOf(gateway, 'node-1').up).toBe(true)
    await chatInTurn(gateway, 2)
  })

  test('with every node down a request is refused in 50 ms, with Retry-After and the reasons', async () => {
    const gateway = await openGateway({ nodes: 2 })
    for (const sim of gateway.sims) await sim.kill()
    await until(() => gateway.app.fleet.nodes.every(({ up }) => up === false), 'all are down')
    const reply = await ask(`${gateway.url}${chat}`, chatBody())
    expect(reply.status).toBe(503)
    expect(reply.headers['retry-after']).toBe('1')
    expect(reply.text).toContain('node-1: connection refused; node-2: connection refused')
    expect(reply.totalMs).toBeLessThan(50)
  })

  test('streams of a killed node end with an error, those of others go on', async () => {
    const gateway = await openGateway({ nodes: 2, speed: 1, numParallel: 4 })
    const long = chatBody({ options: { num_predict: 40 } })
    const all = Array.from({ length: 6 }, () => start(`${gateway.url}${chat}`, long))
    const heads = await Promise.all(all.map(({ head }) => head))
    await gateway.sim('node-1').kill()
    const replies = await Promise.all(all.map(({ reply }) => reply))
    expect(replies.map(isComplete)).toEqual(heads.map(({ node }) => node === 'node-2'))
    for (const reply of replies) if (!isComplete(reply)) expect(reply.text).toMatch(/\{"error":"node-1[^\n]*\}\n$/)
    await expectIdle(gateway)
  })
})

describe('a node that freezes whole', () => {
  test('ends its streams long before the idle deadline, with an error', async () => {
    const gateway = await openGateway({
      nodes: 2,
      speed: 2,
      fleet: { probe: { intervalMs: 100, timeoutMs: 100 }, deadlines: { idleMsMin: 30_000 } },
    })
    for (const sim of gateway.sims) sim.control.set('hang-mid-stream', { path: chat, atFrame: 5 })
    const asking = start(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 60 } }))
    const { node } = await asking.head
    gateway.sim(node).control.set('hang-before-head', { path: '/api/version' })
    const reply = await asking.reply
    expect(reply.text).toMatch(/\n\{"error":"node-\d went down[^\n]*\}\n$/)
    expect(reply.totalMs).toBeLessThan(3_000)
    await expectIdle(gateway)
  })
})

test('a stall of the gateway itself is taken for no silence of the nodes', async () => {
  const gateway = await openGateway({
    nodes: 2,
    speed: 2,
    fleet: { probe: { intervalMs: 20, timeoutMs: 100, missesUntilDown: 1 }, deadlines: { idleMsMin: 200, idleMsMax: 200 } },
  })
  const downs = gateway.app.fleet.nodes.map(({ downReason }) => downReason)
  const running = start(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 60 } }))
  await running.head
  for (let time = 0; time < 4; time += 1) {
    const endMs = systemClock.nowMs() + 600
    while (systemClock.nowMs() < endMs);
    downs.push(...gateway.app.fleet.nodes.map(({ downReason }) => downReason))
    await systemClock.sleep(60)
    downs.push(...gateway.app.fleet.nodes.map(({ downReason }) => downReason))
  }
  const reply = await running.reply
  expect(isComplete(reply), reply.text.slice(-200)).toBe(true)
  expect(new Set(downs)).toEqual(new Set([null]))
  expect(gateway.app.fleet.nodes.map(({ upSinceMs }) => upSinceMs)).toEqual([-Infinity, -Infinity])
})

describe('drain', () => {
  test('a draining node gets nothing new while its stream ends by itself', async () => {
    const gateway = await openGateway({ nodes: 2, speed: 2 })
    const running = start(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 60 } }))
    const { node } = await running.head
    if (node === null) throw new Error('no node named')
    const before = asked(gateway, node, chat)
    gateway.app.fleet.setDraining(node, true)
    await chatInTurn(gateway, 4)
    expect(asked(gateway, node, chat)).toBe(before)
    expect(isComplete(await running.reply)).toBe(true)
    gateway.app.fleet.setDraining(node, false)
    for (const other of gateway.app.fleet.nodes) if (other.name !== node) gateway.app.fleet.setDraining(other.name, true)
    expect((await ask(`${gateway.url}${chat}`, chatBody())).node).toBe(node)
  })

  test('when all drain the refusal says so', async () => {
    const gateway = await openGateway({ nodes: 1 })
    gateway.app.fleet.setDraining('node-1', true)
    const reply = await ask(`${gateway.url}${chat}`, chatBody())
    expect(reply.status).toBe(503)
    expect(reply.text).toContain('all are draining')
  })

  test('a node taken out is forgotten, one added is used', async () => {
    const gateway = await openGateway({ nodes: 2 })
    const options = nodeOf(gateway, 'node-1').options
    gateway.app.fleet.removeNode('node-1')
    const before = asked(gateway, 'node-1', chat)
    await chatInTurn(gateway, 3)
    expect(asked(gateway, 'node-1', chat)).toBe(before)
    await gateway.app.fleet.addNode(options)
    gateway.app.fleet.removeNode('node-2')
    expect((await ask(`${gateway.url}${chat}`, chatBody())).node).toBe('node-1')
  })
})

/** Ejects a node as five failures would. */
function eject(gateway: Gateway, name: string): void {
  const { breaker } = nodeOf(gateway, name)
  const nowMs = systemClock.nowMs()
  for (let time = 0; time < 5; time += 1) breaker.acquire(nowMs)?.settle('fail', nowMs)
  expect(breaker.state(nowMs)).toBe('open')
}

describe('ejection', () => {
  test('an ejected node gets nothing while at most half of the pool is ejected', async () => {
    const gateway = await openGateway({ nodes: 4 })
    eject(gateway, 'node-1')
    eject(gateway, 'node-2')
    await Promise.all(Array.from({ length: 20 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect([asked(gateway, 'node-1', chat), asked(gateway, 'node-2', chat)]).toEqual([0, 0])
  })

  test('with more than half ejected all are asked', async () => {
    const gateway = await openGateway({ nodes: 4 })
    for (const name of ['node-1', 'node-2', 'node-3']) eject(gateway, name)
    const replies = await Promise.all(Array.from({ length: 20 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.every(isComplete)).toBe(true)
    expect(new Set(replies.map(({ node }) => node)).size).toBe(4)
  })

  test('a fleet of one node is asked although it is ejected', async () => {
    const gateway = await openGateway({ nodes: 1 })
    eject(gateway, 'node-1')
    await chatInTurn(gateway, 1)
  })

  test('after its ejection one good trial brings a node back', async () => {
    const gateway = await openGateway({ nodes: 2, fleet: { breaker: { ejectMs: 100 } } })
    const { breaker } = nodeOf(gateway, 'node-1')
    eject(gateway, 'node-1')
    await until(() => breaker.state(systemClock.nowMs()) === 'half_open', 'the ejection is over', 200)
    await Promise.all(Array.from({ length: 8 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(breaker.state(systemClock.nowMs())).toBe('closed')
  })
})

describe('slow start', () => {
  test('a node that returns gets a smaller share at first', async () => {
    const gateway = await openGateway({ nodes: 2, numParallel: 4, fleet: { breaker: { slowStartMs: 60_000 } } })
    nodeOf(gateway, 'node-1').upSinceMs = systemClock.nowMs()
    const replies = []
    for (let round = 0; round < 10; round += 1) {
      replies.push(...(await Promise.all(Array.from({ length: 3 }, () => ask(`${gateway.url}${chat}`, chatBody())))))
    }
    const share = replies.filter(({ node }) => node === 'node-1').length / replies.length
    expect(share).toBeLessThan(0.4)
  })
})

describe('what a node holds', () => {
  test('a 404 of one node is learned: it costs one try, not one per request', async () => {
    const gateway = await openGateway({ nodes: 2 })
    const digestless = await ask(`${gateway.sim('node-1').url}/api/delete`, { model: 'llama3.2:3b' }, { method: 'DELETE' })
    expect(digestless.status).toBe(200)
    const before = asked(gateway, 'node-1', chat)
    await chatInTurn(gateway, 10)
    expect(asked(gateway, 'node-1', chat) - before).toBeLessThanOrEqual(1)
    expect(nodeOf(gateway, 'node-1').breaker.state(systemClock.nowMs())).toBe('closed')
    await expectIdle(gateway)
  })

  test('a model that every node denied once is asked for anyway, by those that wait and those that come', async () => {
    const gateway = await openGateway({ nodes: 2, fleet: { admission: { slotsAssumed: 1, slotsMax: 1 } } })
    for (const sim of gateway.sims) sim.control.set('missing-model', { path: chat, count: 1 })
    const replies = await Promise.all(Array.from({ length: 10 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
    await chatInTurn(gateway, 3)
    await expectIdle(gateway)
  })

  test('a model that no node has costs two nodes one request each, and gets the answer of a node', async () => {
    const gateway = await openGateway({ nodes: 4 })
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ model: 'absent' }))
    expect(reply.status).toBe(404)
    expect(reply.text).toBe(`{"error":"model 'absent' not found"}`)
    expect(gateway.sims.reduce((sum, sim) => sum + (sim.stats().byPath[chat] ?? 0), 0)).toBeLessThanOrEqual(2)
    await expectIdle(gateway)
  })

  test('a model that appeared behind our back is found by one look at the lists', async () => {
    const gateway = await openGateway({ nodes: 3, fleet: { probe: { modelsIntervalMs: 60_000 } } })
    await ask(`${gateway.sim('node-3').url}/api/copy`, { source: 'llama3.2:3b', destination: 'fresh' })
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ model: 'fresh' }))
    expect(isComplete(reply), reply.text).toBe(true)
    expect(reply.node).toBe('node-3')
  })

  test('an unknown model waits for no node whose list hangs', async () => {
    const gateway = await openGateway({ nodes: 3 })
    gateway.sim('node-2').control.set('hang-before-head', { path: '/api/tags' })
    const took = []
    for (let time = 0; time < 4; time += 1) {
      const reply = await ask(`${gateway.url}${chat}`, chatBody({ model: `absent-${time}` }))
      expect(reply.status).toBe(404)
      took.push(reply.totalMs)
    }
    expect(Math.max(...took)).toBeLessThan(1_500)
    // Only the first one waited, to see that it hangs.
    expect(took.filter((totalMs) => totalMs > 250).length).toBeLessThanOrEqual(1)
  })

  test('many unknown models cost each node one look at its list per second', async () => {
    const gateway = await openGateway({ nodes: 3, fleet: { probe: { modelsIntervalMs: 60_000 } } })
    const before = gateway.sims.map(({ name }) => asked(gateway, name, '/api/tags'))
    const startedAtMs = performance.now()
    const names = Array.from({ length: 10 }, (_, index) => `absent-${index}`)
    for (const model of names) expect((await ask(`${gateway.url}${chat}`, chatBody({ model }))).status).toBe(404)
    const looksMax = 1 + Math.floor((performance.now() - startedAtMs) / 1_000)
    for (const [index, { name }] of gateway.sims.entries())
      expect(asked(gateway, name, '/api/tags') - (before[index] ?? 0)).toBeLessThanOrEqual(looksMax)
  })

  test('nodes at another digest of the name are not balanced over, and answer when all others are down', async () => {
    const model = {
      name: 'llama3.2:3b',
      sizeBytes: 1e9,
      family: 'llama',
      parameterSize: '3B',
      quantization: 'Q4',
      contextLength: 8_192,
      capabilities: ['completion'] as const,
      loadMs: 10,
    }
    const odd = { models: [{ ...model, digest: 'f'.repeat(64) }] }
    const even = { models: [{ ...model, digest: 'e'.repeat(64) }] }
    const gateway = await openGateway({ nodes: [even, odd, even], warm: false })
    const replies = await Promise.all(Array.from({ length: 12 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.every(isComplete)).toBe(true)
    expect(asked(gateway, 'node-2', chat)).toBe(0)
    expect([...gateway.app.fleet.catalogue.drift().keys()]).toEqual(['llama3.2:3b'])
    for (const name of ['node-1', 'node-3']) await gateway.sim(name).kill()
    const rest = await Promise.all(Array.from({ length: 4 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(rest.map(({ node, text }) => node ?? text)).toEqual(Array(4).fill('node-2'))
    await gateway.sim('node-1').restart()
    await until(() => nodeOf(gateway, 'node-1').up === true, 'it is back')
    expect((await ask(`${gateway.url}${chat}`, chatBody())).node).toBe('node-1')
  })
})
