// Models that a node would run at ollama.com, whatever they are called: nothing reaches the node unless that is allowed.

import { createServer } from 'node:http'

import { describe, expect, onTestFinished, test } from 'vitest'

import { createCatalogue } from '../../src/fleet/catalogue.ts'
import { ask, chatBody } from './ask.ts'
import { bareNode } from './bare-node.ts'
import { asked, type Gateway, openGateway, until } from './gateway.ts'
import { manualClock } from './manual-clock.ts'

const chat = '/api/chat'
const remote = { name: 'mine:latest', digest: 'd9', size: 300, modified_at: '2026-01-01T00:00:00Z' }
const answers: Readonly<Record<string, unknown>> = {
  '/api/version': { version: '0.33.0' },
  '/api/tags': { models: [{ ...remote, remote_model: 'gpt-oss:120b', remote_host: 'https://ollama.com:443' }] },
  '/api/ps': { models: [] },
  [chat]: { model: 'mine', done: true, message: { role: 'assistant', content: 'from afar' } },
  '/api/delete': {},
}

interface RemoteNode {
  readonly url: string
  /** Paths of what it was asked beside probes. */
  readonly asked: string[]
}

/** An Ollama that holds one model, which is a name for one elsewhere. */
async function openRemoteNode(): Promise<RemoteNode> {
  const paths: string[] = []
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? ''
    if (incoming.method !== 'GET') paths.push(path)
    incoming.resume().on('end', () => outgoing.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answers[path])))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { url: `http://127.0.0.1:${address.port}`, asked: paths }
}

async function openWithRemote(fleet: Readonly<Record<string, unknown>> = {}): Promise<{ gateway: Gateway; node: RemoteNode }> {
  const node = await openRemoteNode()
  const gateway = await openGateway({ nodes: 1, warm: false, fleet })
  const added = await gateway.app.fleet.addNode({ url: node.url, name: 'far', headers: {} })
  await until(() => added.modelsKnown, 'its models are known')
  return { gateway, node }
}

describe('while cloud models are off', () => {
  test('a plain name that leads elsewhere is refused before its node is asked', async () => {
    const { gateway, node } = await openWithRemote()
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ model: 'mine' }))
    expect([reply.status, reply.text]).toEqual([403, expect.stringContaining('ollama cloud is disabled')])
    expect(node.asked).toEqual([])
  })

  test('an alias of such a name, and one of a cloud name, are refused', async () => {
    const { gateway, node } = await openWithRemote({ aliases: { far: 'mine', big: 'gpt-oss:120b-cloud' } })
    for (const model of ['far', 'big']) {
      const reply = await ask(`${gateway.url}${chat}`, chatBody({ model }))
      expect([reply.status, reply.text]).toEqual([403, expect.stringContaining('ollama cloud is disabled')])
    }
    expect(node.asked).toEqual([])
    expect(asked(gateway, 'node-1', chat)).toBe(0)
  })

  test('a copy of it is refused, and deleting it is not', async () => {
    const { gateway, node } = await openWithRemote()
    expect((await ask(`${gateway.url}/api/copy`, { source: 'mine', destination: 'other' })).status).toBe(403)
    expect((await ask(`${gateway.url}/api/delete`, { model: 'mine:latest' }, { method: 'DELETE' })).status).toBe(200)
    expect(node.asked).toEqual(['/api/delete'])
  })

  test('a node that holds the model itself answers for it, whatever others would do', () => {
    const { catalogue } = mixed(false)
    expect(catalogue.resolve('m')).toMatchObject({ remote: false, digest: 'own' })
    expect(catalogue.resolve('m').holders.map(({ name }) => name)).toEqual(['c'])
  })
})

describe('where they are allowed', () => {
  test('a plain name that leads elsewhere reaches its node, and has no digest to keep answers under', async () => {
    const { gateway, node } = await openWithRemote({ cloudModels: true })
    const reply = await ask(`${gateway.url}${chat}`, chatBody({ model: 'mine', stream: false }))
    expect([reply.status, reply.text]).toEqual([200, expect.stringContaining('from afar')])
    expect(node.asked).toContain(chat)
    expect(gateway.app.fleet.digestOf('mine')).toBeNull()
    expect(gateway.app.fleet.digestOf('llama3.2:3b')).not.toBeNull()
  })

  test('the majority is balanced over', () => {
    const { catalogue } = mixed(true)
    expect(catalogue.resolve('m')).toMatchObject({ remote: true, digest: 'far' })
  })
})

/** Two nodes that would send `m` elsewhere, one that holds it. */
function mixed(remoteAllowed: boolean) {
  const far = { digest: 'far', remoteHost: 'https://ollama.com:443' }
  const nodes = [bareNode('a', { 'm:latest': far }), bareNode('b', { 'm:latest': far }), bareNode('c', { 'm:latest': { digest: 'own' } })]
  const catalogue = createCatalogue({
    nodes: () => nodes,
    aliases: () => ({}),
    remoteAllowed: () => remoteAllowed,
    clock: manualClock(),
    onDrift: () => undefined,
  })
  return { catalogue }
}
