// Nodes behind https: an authority of their own, a header of their own, and why one is down whose certificate does not hold.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type IncomingMessage, request as httpRequest, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

import { describe, expect, onTestFinished, test } from 'vitest'

import { createHerd } from '../../src/sim/herd.ts'
import { type ListedNode, startApp, until } from '../support/gateway.ts'
import { ask, chatBody, isComplete } from './ask.ts'

const fileOf = (name: string): string => fileURLToPath(new URL(`../data/tls/${name}`, import.meta.url))
const caFile = fileOf('ca.pem')

interface SecureNode {
  readonly url: string
  /** Requests as `method path`, each with the values of `X-Node-Key` that came with it. */
  readonly seen: { readonly what: string; readonly keys: readonly string[] }[]
}

/** A simulated node behind a server that shows `certificate`. */
async function startSecureNode(certificate: string): Promise<SecureNode> {
  const herd = await createHerd({ speed: 20, nodes: 1 })
  const seen: SecureNode['seen'] = []
  const pass = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const { method = '', url = '', headers, rawHeaders } = incoming
    const keys = rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'x-node-key')
    seen.push({ what: `${method} ${url}`, keys })
    const inner = httpRequest((herd.nodes[0]?.url ?? '') + url, { method, headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 500, response.headers)
      response.pipe(outgoing)
    })
    inner.on('error', () => outgoing.destroy())
    incoming.pipe(inner)
  }
  const server = createServer({ cert: readFileSync(fileOf(certificate)), key: readFileSync(fileOf('node-key.pem')) }, pass)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await herd.close()
  })
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

async function openBefore(certificate: string, options: Omit<ListedNode, 'url' | 'name'>) {
  const node = await startSecureNode(certificate)
  const { app, url } = await startApp([{ ...options, url: node.url, name: 'secure' }])
  const [seenByFleet] = app.fleet.nodes
  if (seenByFleet === undefined) throw new Error('one node')
  await until(() => seenByFleet.up === false || seenByFleet.modelsKnown, 'the node was probed')
  return { node: seenByFleet, seen: node.seen, url }
}

describe('a node behind https', () => {
  test('is up by the authority of its own, and serves with its own header, whatever a client sends under that name', async () => {
    const { node, seen, url } = await openBefore('node.pem', { caFile, headers: { 'X-Node-Key': 'secret' } })
    expect(node.up).toBe(true)
    const headers = { 'x-node-key': 'mine', 'X-NODE-KEY': 'mine, too' }
    const chat = await ask(`${url}/api/chat`, chatBody(), { headers })
    expect(isComplete(chat), chat.text).toBe(true)
    const blob = Buffer.from('a layer')
    const digest = createHash('sha256').update(blob).digest('hex')
    expect((await ask(`${url}/api/blobs/sha256:${digest}`, blob, { headers })).status).toBe(201)
    // The model was cold: the gateway loaded it with a request of its own.
    const asked = ['GET /api/version', 'GET /api/tags', 'POST /api/generate', 'POST /api/chat', `POST /api/blobs/sha256:${digest}`]
    for (const what of asked) expect(seen.find((request) => request.what === what)?.keys, what).toEqual(['secret'])
    expect(seen.every(({ keys }) => keys.join() === 'secret')).toBe(true)
  })

  test.each([
    ['without its authority', 'node.pem', {}, /certificate.*\(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/],
    ['with the certificate of another host', 'elsewhere.pem', { caFile }, /altnames.*\(ERR_TLS_CERT_ALTNAME_INVALID\)/],
  ])('is down %s, and the reason is told', async (_, certificate, options, reason) => {
    const { node, seen, url } = await openBefore(certificate, options)
    expect([node.up, node.downReason]).toEqual([false, expect.stringMatching(reason)])
    const reply = await ask(`${url}/api/chat`, chatBody())
    expect([reply.status, reply.text]).toEqual([503, expect.stringMatching(reason)])
    expect(seen).toEqual([])
  })
})
