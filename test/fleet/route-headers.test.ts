// Answers that the gateway makes itself say where the last try went; those to requests that no node was asked for do not.

import { expect, test } from 'vitest'

import { ask, chatBody, type Reply } from './ask.ts'
import { openGateway } from './gateway.ts'

const route = ({ headers }: Reply): unknown[] => [headers['x-corral-node'], headers['x-corral-route']]

test('when all nodes reset before the head, the last one and the attempts are named', async () => {
  const { url, sims } = await openGateway({ nodes: 3 })
  for (const sim of sims) sim.control.set('rst-before-head')
  const reply = await ask(`${url}/api/chat`, chatBody())
  expect(reply.status).toBe(502)
  expect(route(reply)).toEqual([expect.stringMatching(/^node-[123]$/), expect.stringMatching(/^retry; attempts=[23]$/)])
  expect(reply.text).toContain(String(reply.node))
})

test('after one try the reason is why it went there', async () => {
  const { url, sims } = await openGateway({ nodes: 1, fleet: { retry: { enabled: false } } })
  for (const sim of sims) sim.control.set('rst-before-head')
  expect(route(await ask(`${url}/api/chat`, chatBody()))).toEqual(['node-1', 'only'])
})

test('a load that fails names its node', async () => {
  const { url, sims } = await openGateway({ nodes: 1, warm: false, fleet: { retry: { retriesMax: 0 } } })
  for (const sim of sims) sim.control.set('rst-before-head', { path: '/api/generate' })
  expect(route(await ask(`${url}/api/chat`, chatBody()))).toEqual(['node-1', 'cold'])
})

test('a batch of embeddings names them, too', async () => {
  const { url, sims } = await openGateway({ nodes: 2 })
  await ask(`${url}/api/embed`, { model: 'all-minilm', input: ['one', 'two'] })
  for (const sim of sims) sim.control.set('rst-before-head', { path: '/api/embed' })
  const input = Array.from({ length: 40 }, (_, index) => `text ${index}`)
  const reply = await ask(`${url}/api/embed`, { model: 'all-minilm', input })
  expect(reply.status).toBe(502)
  expect(route(reply)).toEqual([expect.stringMatching(/^node-[12]$/), expect.stringMatching(/^split; attempts=\d+$/)])
})

test('what no node was asked for has neither, nor has anything where they are switched off', async () => {
  const { url } = await openGateway({ nodes: 1, warm: false })
  expect(route(await ask(`${url}/api/chat`, Buffer.from('{"model":"a","MODEL":"b"}')))).toEqual([undefined, undefined])
  const off = await openGateway({ nodes: 1, http: { routeHeaders: false } })
  for (const sim of off.sims) sim.control.set('rst-before-head')
  const reply = await ask(`${off.url}/api/chat`, chatBody())
  expect([reply.status, ...route(reply)]).toEqual([502, undefined, undefined])
})
