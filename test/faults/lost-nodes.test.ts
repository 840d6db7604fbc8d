// F29, F30, F33, F34: nodes that flap, are all gone, are told to stop, or are another one at the same address.

import { once } from 'node:events'

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { defaultModels } from '../../src/sim/model.ts'
import { createSimNode } from '../../src/sim/node.ts'
import { ask, chatBody, isComplete, start } from '../fleet/ask.ts'
import { expectIdle, openGateway, until } from '../fleet/gateway.ts'
import { crowd, openFront, quantile, spawnSim } from './front.ts'

const chat = '/api/chat'

test('F29: a node that is ill, well and ill again is left alone for longer each time', async () => {
  const breaker = { consecutiveFailures: 1, ejectMs: 100, ejectMsMax: 10_000, slowStartMs: 0 }
  const gateway = await openGateway({ nodes: 2, speed: 100, fleet: { breaker } })
  const [first] = gateway.app.fleet.nodes
  if (first === undefined) throw new Error('no node')
  const state = (): string => first.breaker.state(systemClock.nowMs())
  const sick = gateway.sim('node-1').control
  const load = { isOver: false }
  onTestFinished(() => {
    load.isOver = true
  })
  const replies: boolean[] = []
  const clients = Array.from({ length: 3 }, async () => {
    while (!load.isOver) replies.push(isComplete(await ask(`${gateway.url}${chat}`, chatBody({ stream: false }))))
  })
  const ejectionsMs: number[] = []
  for (let time = 0; time < 3; time += 1) {
    sick.set('rst-before-head', { path: chat })
    await until(() => state() === 'open', 'the node is ejected')
    const startMs = systemClock.nowMs()
    sick.clear()
    await until(() => state() === 'closed', 'the node is back', 10_000)
    ejectionsMs.push(systemClock.nowMs() - startMs)
  }
  load.isOver = true
  await Promise.all(clients)
  const [one = 0, two = 0, three = 0] = ejectionsMs
  expect(two).toBeGreaterThan(1.4 * one)
  expect(three).toBeGreaterThan(1.2 * two)
  expect(replies.filter((complete) => !complete).length / replies.length).toBeLessThan(0.01)
  await expectIdle(gateway)
})

test('F30: with every node gone, requests are refused within 50 ms and none waits', async () => {
  const gateway = await openGateway({ nodes: 3, fleet: { probe: { intervalMs: 50 } } })
  await Promise.all(gateway.sims.map((sim) => sim.kill()))
  await until(() => gateway.app.fleet.nodes.every(({ up }) => up === false), 'all are down')
  let queuedMax = 0
  const watch = setInterval(() => {
    for (const { queue } of gateway.app.fleet.pools.all()) queuedMax = Math.max(queuedMax, queue.size)
  }, 1)
  const replies = await crowd(gateway.url, { requests: 300, atOnce: 4 })
  clearInterval(watch)
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([503]))
  expect(replies.every(({ headers }) => Number(headers['retry-after']) >= 1)).toBe(true)
  const times = replies.map(({ totalMs }) => totalMs)
  // Other tests share the machine and stop this process, clients and all, for some tens of ms now and then: nine tenths tell.
  expect(quantile(times, 0.9)).toBeLessThan(50)
  expect(queuedMax).toBe(0)
  await expectIdle(gateway)
  await Promise.all(gateway.sims.map((sim) => sim.restart()))
  await until(() => gateway.app.fleet.nodes.every(({ up }) => up === true), 'all are back')
  expect(isComplete(await ask(`${gateway.url}${chat}`, chatBody()))).toBe(true)
})

test('F33: SIGTERM of a node breaks its own streams only, told as broken, and no request after them', async () => {
  const flags = ['--parallel', '4', '--speed', '1']
  const [stopped, other] = await Promise.all([spawnSim(flags), spawnSim(flags)])
  for (const { url } of [stopped, other]) await ask(`${url}/api/generate`, { model: 'llama3.2:3b', stream: false })
  const nodes = [
    { url: stopped.url, name: 'stopped' },
    { url: other.url, name: 'other' },
  ]
  const gateway = await openFront(nodes, { probe: { intervalMs: 50 } })
  const streams = Array.from({ length: 8 }, () => start(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 200 } })))
  const heads = await Promise.all(streams.map(({ head }) => head))
  const inFlight = heads.filter(({ node }) => node === 'stopped').length
  expect(inFlight).toBeGreaterThan(0)
  const gone = once(stopped.child, 'exit')
  stopped.child.kill('SIGTERM')
  const later = await crowd(gateway.url, { requests: 20, atOnce: 4 })
  const replies = await Promise.all(streams.map(({ reply }) => reply))
  await gone
  const broken = replies.filter((reply) => !isComplete(reply))
  expect(broken.map(({ node }) => node)).toEqual(Array(inFlight).fill('stopped'))
  for (const { text } of broken) {
    expect(text).toMatch(/\n\{"error":"stopped[^\n]*\}\n$/)
    expect(text).not.toContain('"done":true')
  }
  expect(later.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
  expect(gateway.app.fleet.nodes.map(({ up }) => up)).toEqual([false, true])
  await expectIdle(gateway)
})

test.each(['0.34.1', '0.33.0'])(
  'F34: another node at the same address, version %s, is known by what it has within a tenth of ten seconds at a tenth of the intervals',
  async (version) => {
    // A tenth of the defaults.
    const probe = { intervalMs: 100, modelsIntervalMs: 500, loadedIntervalMs: 200 }
    const gateway = await openGateway({ nodes: 2, fleet: { probe } })
    const { port } = gateway.sim('node-1')
    await gateway.sim('node-1').close()
    const models = defaultModels.filter(({ name }) => name === 'qwen3:8b')
    const newcomer = await createSimNode({ port, name: 'node-1', version, models, speed: 100 })
    onTestFinished(() => newcomer.close())
    const swappedAtMs = systemClock.nowMs()
    const [first] = gateway.app.fleet.nodes
    await until(() => first?.models.size === 1 && first.loaded.size === 0, 'the new lists are known', 1_000)
    expect(systemClock.nowMs() - swappedAtMs).toBeLessThan(1_000)
    expect([first?.up, first?.version]).toEqual([true, version])
    const replies = await crowd(gateway.url, { requests: 30, atOnce: 4 })
    expect(replies.map(({ node, text }) => node ?? text)).toEqual(Array(30).fill('node-2'))
    expect(replies.every(isComplete)).toBe(true)
    expect(newcomer.stats().byPath[chat] ?? 0).toBe(0)
    gateway.app.fleet.setDraining('node-2', true)
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ model: 'qwen3:8b' }))
    expect([reply.node, isComplete(reply)]).toEqual(['node-1', true])
    await expectIdle(gateway)
  },
)

test('F34: requests in the moment of such a swap are answered by a node that has the model', async () => {
  const gateway = await openGateway({ nodes: 2, fleet: { probe: { intervalMs: 60_000, modelsIntervalMs: 60_000 } } })
  const { port } = gateway.sim('node-1')
  await gateway.sim('node-1').close()
  const models = defaultModels.filter(({ name }) => name === 'qwen3:8b')
  const newcomer = await createSimNode({ port, name: 'node-1', models, speed: 100 })
  onTestFinished(() => newcomer.close())
  const replies = await crowd(gateway.url, { requests: 30, atOnce: 4 })
  expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
  expect(newcomer.stats().byPath[chat] ?? 0).toBeLessThanOrEqual(4)
  await expectIdle(gateway)
})
