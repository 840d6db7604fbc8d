// What a node refuses, or a path that loads nothing, costs neither a load nor a slot.

import { expect, onTestFinished, test } from 'vitest'

import { sendJson, startFakeNode } from '../http/fake-node.ts'
import { startApp, until } from '../support/gateway.ts'
import { ask, chatBody, start } from './ask.ts'
import { asked, expectIdle, openGateway } from './gateway.ts'

const model = 'llama3.2:3b'
const loads = (sims: readonly { stats(): { readonly loads: number } }[]): number => sims.reduce((sum, sim) => sum + sim.stats().loads, 0)

test('a path that Ollama does not have is answered as by a node itself, though it names a cold model', async () => {
  const gateway = await openGateway({ warm: false })
  const body = { model, messages: [{ role: 'user', content: 'hi' }] }
  const [reply, direct] = [
    await ask(`${gateway.url}/v1/messages/count_tokens`, body),
    await ask(`${gateway.sim('node-1').url}/v1/messages/count_tokens`, body),
  ]
  expect([reply.status, reply.text]).toEqual([direct.status, direct.text])
  expect(reply.status).toBe(404)
  expect(loads(gateway.sims)).toBe(0)
  await expectIdle(gateway)
})

test('it waits for no slot, and goes where the model is in memory', async () => {
  const gateway = await openGateway({
    warm: false,
    nodes: 3,
    speed: 1,
    numParallel: 1,
    fleet: { admission: { slotsAssumed: 1, slotsMax: 1 } },
  })
  await ask(`${gateway.sim('node-2').url}/api/generate`, { model, stream: false, keep_alive: -1 })
  await Promise.all(gateway.app.fleet.nodes.map((node) => gateway.app.fleet.prober.refreshLoaded(node)))
  const running = start(`${gateway.url}/api/chat`, chatBody({ options: { num_predict: 5_000 } }))
  expect((await running.head).node).toBe('node-2')
  for (let time = 0; time < 6; time += 1) expect((await ask(`${gateway.url}/v1/newer`, { model })).node).toBe('node-2')
  expect(gateway.app.fleet.pools.use(gateway.app.fleet.nodes[1] ?? expect.fail()).inFlight).toBe(1)
  running.leave()
  await expectIdle(gateway)
})

test.each([
  ['/api/chat', chatBody({ stream: 'true' })],
  ['/api/chat', chatBody({ options: { num_ctx: '4096' } })],
  ['/api/chat', chatBody({ keep_alive: '300' })],
  ['/v1/chat/completions', chatBody({ stream: 'true', options: undefined })],
])('%s %j gets the refusal of a node, to the byte, without a load', async (path, body) => {
  const gateway = await openGateway({ warm: false })
  const [reply, direct] = [await ask(gateway.url + path, body), await ask(gateway.sim('node-1').url + path, body)]
  expect([reply.status, reply.text]).toEqual([direct.status, direct.text])
  expect(reply.status).toBeGreaterThanOrEqual(400)
  expect(loads(gateway.sims)).toBe(0)
  await expectIdle(gateway)
})

test('what is sure to be refused waits for a slot like any other, and finds the queue full', async () => {
  const gateway = await openGateway({
    nodes: 1,
    speed: 1,
    numParallel: 1,
    fleet: { admission: { slotsAssumed: 1, slotsMax: 1, queueMax: 1 } },
  })
  const running = start(`${gateway.url}/api/chat`, chatBody({ options: { num_predict: 5_000 } }))
  await running.head
  const refused = start(`${gateway.url}/api/chat`, chatBody({ stream: 'true' }))
  await until(() => gateway.app.fleet.pools.countQueued() === 1, 'it waits')
  expect((await ask(`${gateway.url}/api/chat`, chatBody({ keep_alive: '300' }))).status).toBe(503)
  expect(asked(gateway, 'node-1', '/api/chat')).toBe(1)
  running.leave()
  expect((await refused.reply).status).toBe(400)
  await expectIdle(gateway)
})

test('while a node refuses it nobody else takes the model for loaded', async () => {
  const node = await startFakeNode({ loaded: false })
  onTestFinished(() => node.close())
  const { app, url } = await startApp([{ url: node.url, name: 'n' }])
  await until(() => app.fleet.nodes.every(({ models, loadedAtMs }) => models.size > 0 && loadedAtMs > -Infinity), 'the node is known')
  const { script } = node
  const refuse = Promise.withResolvers<void>()
  node.script = (incoming, outgoing, body) => {
    if (!body.includes('"messages":"hi"')) script(incoming, outgoing, body)
    else void refuse.promise.then(() => sendJson(outgoing, 400, { error: 'no' }))
  }
  const refused = start(`${url}/api/chat`, { model: 'small', messages: 'hi' })
  await node.arrival()
  const good = start(`${url}/api/chat`, { model: 'small', messages: [{ role: 'user', content: 'hi' }] })
  await until(() => app.fleet.pools.countQueued() === 1, 'it waits')
  refuse.resolve()
  expect([(await refused.reply).status, (await good.reply).status]).toEqual([400, 200])
  expect(node.received.map(({ url: path }) => path)).toEqual(['/api/chat', '/api/generate', '/api/chat'])
})

test('a JSON 404 of an unknown path says nothing of the model: it is still asked of its node', async () => {
  const node = await startFakeNode()
  onTestFinished(() => node.close())
  const { app, url } = await startApp([{ url: node.url, name: 'n' }])
  await until(() => app.fleet.nodes.every(({ models, loaded }) => models.size > 0 && loaded.size > 0), 'the node is known')
  const { script } = node
  node.script = (_, outgoing) => sendJson(outgoing, 404, { error: 'no such voice' })
  expect((await ask(`${url}/v1/newer`, { model: 'small' })).text).toBe('{"error":"no such voice"}')
  node.script = script
  expect(app.fleet.catalogue.resolve('small').known).toBe(true)
})
