/** What clients see of several nodes: which one answered, and nothing of one that dies, leaves or comes back. */
import { Ollama } from 'ollama'
import { expect, it } from 'vitest'

import { type Gateway, startGateway, until } from '../support/gateway.ts'
import { busyNode, chatModel, embedModel, unknownModel, userMessage } from './prompts.ts'
import { clientStreams, openAi, outcomeOf } from './streams.ts'

function ask(gateway: Gateway, body: object = {}, path = '/api/chat'): Promise<Response> {
  const request = { model: chatModel, messages: [userMessage], options: { num_predict: 2 }, ...body }
  return fetch(gateway.url + path, { method: 'POST', body: JSON.stringify(request) })
}

it.each([true, false])('names the node and the reason on every answer (stream: %s)', async (stream) => {
  const gateway = await startGateway()
  const { headers } = await ask(gateway, { stream })
  const node = headers.get('x-corral-node')
  expect(gateway.sim(node).stats().perModel[chatModel]).toBeGreaterThan(0)
  expect(headers.get('x-corral-route')).toMatch(/^[a-z-]+$/)
  expect(headers.get('x-request-id')).toMatch(/^\S{8,}$/)
})

it('hands the headers to the openai client, too', async () => {
  const gateway = await startGateway()
  const call = openAi(gateway.url).chat.completions.create({ model: chatModel, messages: [userMessage], max_tokens: 2 })
  const { data, response, request_id } = await call.withResponse()
  expect(data.choices).toHaveLength(1)
  expect(gateway.sim(response.headers.get('x-corral-node')).name).toMatch(/^node-\d$/)
  expect(request_id).toBe(response.headers.get('x-request-id'))
})

it('keeps the headers to itself when told so', async () => {
  const gateway = await startGateway({ config: { http: { routeHeaders: false } } })
  const { headers } = await ask(gateway)
  expect(headers.get('x-corral-node')).toBeNull()
  expect(headers.get('x-corral-route')).toBeNull()
})

it.each(clientStreams)('$title notices nothing of a node that dies before its first frame', async ({ pieces, path }) => {
  const gateway = await startGateway({ nodes: 2, speed: 20 })
  await Promise.all(gateway.sims.map(({ url }) => new Ollama({ host: url }).generate({ model: chatModel, prompt: '' })))
  for (const sim of gateway.sims) sim.control.set('slow-head', { path, delayMs: 300, count: 1 })
  const reading = outcomeOf(pieces(gateway.url))
  const node = await busyNode(gateway.sims, path)
  await node.kill()
  const { text, error } = await reading
  expect(error).toBeNull()
  expect(text).not.toBe('')
})

it('says on the answer that it was a retry', async () => {
  const gateway = await startGateway()
  gateway.sims[0]?.control.set('rst-before-head', { path: '/api/chat' })
  const routes = await Promise.all([1, 2, 3, 4].map(async () => (await ask(gateway)).headers))
  expect(routes.map((headers) => headers.get('x-corral-node'))).toEqual(['node-2', 'node-2', 'node-2', 'node-2'])
  expect(routes.map((headers) => headers.get('x-corral-route'))).toContain('retry; attempts=2')
})

it('answers every one of 60 requests while a node is killed and comes back', async () => {
  const gateway = await startGateway({ nodes: 3, numParallel: 4 })
  const [victim] = gateway.sims
  const client = new Ollama({ host: gateway.url })
  const once = async (index: number): Promise<boolean> => {
    if (index === 20) await victim?.kill()
    if (index === 40) await victim?.restart()
    const answer = await client.chat({ model: chatModel, messages: [{ role: 'user', content: `${index}` }], options: { num_predict: 4 } })
    return answer.done
  }
  const done: boolean[] = []
  for (let index = 0; index < 60; index += 6) {
    done.push(...(await Promise.all(Array.from({ length: 6 }, (_, offset) => once(index + offset)))))
  }
  expect(done.filter(Boolean)).toHaveLength(60)
})

it('loses none of the requests that wait on a node with many slots when it dies', async () => {
  const gateway = await startGateway({ numParallel: 16, config: { fleet: { admission: { slotsAssumed: 16 } } } })
  await Promise.all(gateway.sims.map(({ url }) => new Ollama({ host: url }).generate({ model: chatModel, prompt: '' })))
  for (const sim of gateway.sims) sim.control.set('slow-head', { path: '/api/chat', delayMs: 400 })
  const [victim] = gateway.sims
  const answers = Array.from({ length: 32 }, (_, index) => ask(gateway, { messages: [{ role: 'user', content: `${index}` }] }))
  await until(() => gateway.sims.every((sim) => sim.stats().inFlight >= 16), 'both nodes have all they take')
  await victim?.kill()
  const statuses = (await Promise.all(answers)).map(({ status }) => status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(32)
})

it('embeds a batch in order although a node dies under it', async () => {
  const gateway = await startGateway({ nodes: 3, speed: 1, embedMsPerItem: 10 })
  const direct = (index: number): Ollama => new Ollama({ host: gateway.sims[index]?.url ?? '' })
  const input = Array.from({ length: 60 }, (_, index) => `text ${index}`)
  await Promise.all([0, 1, 2].map((index) => direct(index).embed({ model: embedModel, input: 'warm' })))
  const batch = new Ollama({ host: gateway.url }).embed({ model: embedModel, input })
  const before = gateway.sims.map((sim) => sim.stats().byPath['/api/embed'] ?? 0)
  await until(
    () => gateway.sims.every((sim, index) => (sim.stats().byPath['/api/embed'] ?? 0) > (before[index] ?? 0)),
    'each node has a shard',
  )
  await gateway.sims[2]?.kill()
  expect((await batch).embeddings).toEqual((await direct(0).embed({ model: embedModel, input })).embeddings)
})

it.each(clientStreams)('$title reaches a model by an alias', async ({ pieces }) => {
  const gateway = await startGateway({ config: { fleet: { aliases: { 'gpt-4o': chatModel } } } })
  const { text, error } = await outcomeOf(pieces(gateway.url, { model: 'gpt-4o' }))
  expect(error).toBeNull()
  expect(text).not.toBe('')
})

it('sends nothing new to a drained node while its stream goes on', async () => {
  const gateway = await startGateway({ speed: 10, decodeTokensPerSecond: 10 })
  const running = await ask(gateway, { options: { num_predict: 30 }, stream: true })
  const name = running.headers.get('x-corral-node') ?? ''
  const drained = await fetch(`${gateway.url}/admin/nodes/${name}/drain`, { method: 'POST' })
  expect(drained.status).toBeLessThan(300)
  const others = await Promise.all([1, 2, 3].map(() => ask(gateway)))
  expect(others.map(({ status }) => status)).toEqual([200, 200, 200])
  for (const { headers } of others) expect(headers.get('x-corral-node')).not.toBe(name)
  expect(await running.text()).toContain('"done":true')
})

it('lets a stream end and refuses new requests while it closes', async () => {
  const gateway = await startGateway({ speed: 10, decodeTokensPerSecond: 10, keepOpen: true })
  const running = await ask(gateway, { options: { num_predict: 20 }, stream: true })
  const closed = gateway.app.close(5_000)
  const refused = await ask(gateway).then(
    ({ status }) => status,
    () => 'refused',
  )
  expect([503, 'refused']).toContain(refused)
  expect(await running.text()).toContain('"done":true')
  await closed
  await gateway.close()
})

it('answers 503 with Retry-After in every dialect when no node is up', async () => {
  const gateway = await startGateway()
  await Promise.all(gateway.sims.map((sim) => sim.kill()))
  await until(() => gateway.app.fleet.nodes.every((node) => node.up === false), 'both nodes are known to be down')
  for (const path of ['/api/chat', '/v1/chat/completions', '/v1/messages']) {
    const answer = await ask(gateway, { max_tokens: 2 }, path)
    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  }
})

it("passes on the node's own words for an unknown model", async () => {
  const gateway = await startGateway()
  const direct = await fetch(`${gateway.sims[0]?.url}/api/chat`, {
    method: 'POST',
    body: JSON.stringify({ model: unknownModel, messages: [] }),
  })
  const answer = await ask(gateway, { model: unknownModel })
  expect(answer.status).toBe(404)
  expect(await answer.text()).toBe(await direct.text())
})
