// Routes that name a model go to the nodes that hold it and know the route, also where the gateway knows neither fields nor answers.

import { describe, expect, onTestFinished, test } from 'vitest'

import { type FakeNode, type FakeNodeOptions, type Script, sendJson, startFakeNode } from '../http/fake-node.ts'
import { startApp, until } from '../support/gateway.ts'
import { ask, type AskOptions, type Reply } from './ask.ts'

const voice = 'voice:latest'

interface Fleet {
  readonly nodes: readonly FakeNode[]
  readonly url: string
  /** Sends one request after the other. */
  askInTurn(count: number, path: string, body: unknown, options?: AskOptions): Promise<Reply[]>
}

async function openFleet(each: readonly FakeNodeOptions[], fleet: Record<string, unknown> = {}): Promise<Fleet> {
  const nodes = await Promise.all(each.map((options) => startFakeNode(options)))
  onTestFinished(async () => {
    await Promise.all(nodes.map((node) => node.close()))
  })
  const listed = nodes.map((node, index) => ({ url: node.url, name: `node-${index + 1}` }))
  const { app, url } = await startApp(listed, { fleet })
  await until(() => app.fleet.nodes.every(({ loaded, version }) => loaded.size > 0 && version !== null), 'the nodes are known')
  const askInTurn: Fleet['askInTurn'] = async (count, path, body, options) => {
    const replies: Reply[] = []
    for (let time = 0; time < count; time += 1) replies.push(await ask(url + path, body, options))
    return replies
  }
  return { nodes, url, askInTurn }
}

const answers: Script = (_incoming, outgoing) => sendJson(outgoing, 200, { text: 'spoken' })
const lacksModel: Script = (_incoming, outgoing) => sendJson(outgoing, 404, { error: { message: `model '${voice}' not found` } })
const lacksRoute: Script = (_incoming, outgoing) => void outgoing.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found')

function asked({ nodes }: Fleet): number[] {
  return nodes.map(({ received }) => received.length)
}

const formType = { 'content-type': 'multipart/form-data; boundary=XX' }
const field = (head: string, value: string): string => `--XX\r\nContent-Disposition: form-data; ${head}\r\n\r\n${value}\r\n`
const formOf = (...models: string[]): Buffer =>
  Buffer.from(
    `${field('name="file"; filename="a.wav"', '\u0000\u2028\r\n--X')}${models.map((name) => field('name="model"', name)).join('')}--XX--\r\n`,
  )

describe('with the model on one node of four', () => {
  const doors: readonly [string, unknown, AskOptions][] = [
    ['/v1/audio/transcriptions', formOf('voice'), { headers: formType }],
    ['/v1/audio/speech', { model: 'voice', input: 'hello', voice: 'alloy' }, {}],
    ['/v1/systemone', { model: 'voice', input: 'hello' }, {}],
    ['/v1/images/generations', { model: 'voice', prompt: 'a horse' }, {}],
    ['/api/newer', { model: 'voice' }, {}],
    ['/v1/audio/newer', formOf('voice'), { headers: formType }],
  ]

  test.each(doors)('%s goes to that node, each time', async (path, body, options) => {
    const fleet = await openFleet([{}, {}, { model: voice }, {}])
    for (const node of fleet.nodes) node.script = lacksModel
    for (const node of fleet.nodes.slice(2, 3)) node.script = answers
    const replies = await fleet.askInTurn(8, path, body, options)
    expect(replies.map(({ status, node }) => `${status} ${node}`)).toEqual(Array.from({ length: 8 }, () => '200 node-3'))
    expect(asked(fleet)).toEqual([0, 0, 8, 0])
    const sent = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
    expect(fleet.nodes[2]?.received.every((received) => received.body.equals(sent))).toBe(true)
  })

  test('a form goes there by an alias, too, with nothing changed but the name', async () => {
    const fleet = await openFleet([{}, { model: voice }], { aliases: { whisper: voice } })
    for (const node of fleet.nodes) node.script = answers
    const [reply] = await fleet.askInTurn(1, '/v1/audio/transcriptions', formOf('whisper'), { headers: formType })
    expect([reply?.status, reply?.node]).toEqual([200, 'node-2'])
    expect(fleet.nodes[1]?.received[0]?.body.toString()).toBe(formOf(voice).toString())
  })

  test.each([
    ['two models', '/v1/audio/transcriptions', formOf('voice', 'small')],
    ['a second model in the query', '/v1/audio/transcriptions?model=small', formOf('voice')],
  ])('a form with %s is refused', async (_, path, form) => {
    const fleet = await openFleet([{}, { model: voice }])
    const [reply] = await fleet.askInTurn(1, path, form, { headers: formType })
    expect(reply?.status).toBe(400)
    expect(asked(fleet)).toEqual([0, 0])
  })
})

describe('an answer of unknown length', () => {
  test('is waited for, however fast chats were answered', async () => {
    const fleet = await openFleet([{}, {}], { deadlines: { firstFrameMsMin: 50 } })
    await fleet.askInTurn(8, '/api/chat', { model: 'small', messages: [{ role: 'user', content: 'hi' }] })
    const before = asked(fleet)
    const slow: Script = (...exchange) => void setTimeout(() => answers(...exchange), 400)
    for (const node of fleet.nodes) node.script = slow
    const [reply] = await fleet.askInTurn(1, '/v1/audio/speech', { model: 'small', input: 'hello' })
    expect(reply?.status).toBe(200)
    expect(asked(fleet).reduce((sum, count) => sum + count) - before.reduce((sum, count) => sum + count)).toBe(1)
  })
})

describe('a route that only newer nodes know', () => {
  test.each([
    ['without a model', { input: 'hello' }],
    ['with a model that all hold', { model: 'small', input: 'hello' }],
  ])('is answered by the one node that knows it: %s', async (_, body) => {
    const fleet = await openFleet([{}, {}, {}, {}, {}, { version: '0.40.8' }], { retry: { retriesMax: 0, budgetFloor: 0, budgetRatio: 0 } })
    for (const node of fleet.nodes) node.script = lacksRoute
    for (const node of fleet.nodes.slice(5)) node.script = answers
    const replies = await fleet.askInTurn(12, '/v1/newer', body)
    expect(replies.map(({ status, node }) => `${status} ${node}`)).toEqual(Array.from({ length: 12 }, () => '200 node-6'))
    expect(asked(fleet)[5]).toBe(12)
  })

  test('is asked of one node only where all are of one version, and the answer is passed on', async () => {
    const fleet = await openFleet([{}, {}, {}, {}])
    for (const node of fleet.nodes) node.script = lacksRoute
    const [reply] = await fleet.askInTurn(1, '/v1/newer', { model: 'small' })
    expect([reply?.status, reply?.text]).toEqual([404, '404 page not found'])
    expect(asked(fleet).filter((count) => count > 0)).toEqual([1])
  })
})

test('a model that was pulled behind the back of the gateway is shown by the node that has it now', async () => {
  const fleet = await openFleet([{ model: voice }, { model: voice }], { probe: { modelsIntervalMs: 600_000 } })
  const [first, second] = fleet.nodes
  if (first === undefined || second === undefined) throw new Error('two nodes')
  first.script = lacksModel
  second.script = answers
  const replies = await fleet.askInTurn(4, '/api/show', { model: 'voice' })
  expect(replies.map(({ status, node }) => `${status} ${node}`)).toEqual(Array.from({ length: 4 }, () => '200 node-2'))
})
