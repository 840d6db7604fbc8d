// Nodes and a collector of traces behind https: an authority of their own, a header of their own, why one is down whose certificate does not hold, and until when it does.

import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request as httpRequest, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { describe, expect, onTestFinished, test } from 'vitest'

import { createHerd } from '../../src/sim/herd.ts'
import { nodeOptions } from '../../src/fleet/options.ts'
import { nodePeer } from '../../src/fleet/node-certificate.ts'
import { sample, scrapeOf } from '../observe/fixtures.ts'
import { certificate as shown, certificateFile, ended, long, startSecureServer } from '../support/certificates.ts'
import { type ListedNode, startApp, until } from '../support/gateway.ts'
import { ask, chatBody, isComplete } from './ask.ts'

const caFile = certificateFile('ca.pem')

interface SecureNode {
  readonly url: string
  /** Requests as `method path`, each with the values of `X-Node-Key` that came with it. */
  readonly seen: { readonly what: string; readonly keys: readonly string[] }[]
  /** From now on it shows this certificate to whoever connects. */
  renew(certificate: string): void
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
  const server = createServer(shown(certificate), pass)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await herd.close()
  })
  const renew = (name: string): void => server.setSecureContext(shown(name))
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, renew }
}

async function openBefore(certificate: string, options: Omit<ListedNode, 'url' | 'name'>) {
  const node = await startSecureNode(certificate)
  const { app, url } = await startApp([{ ...options, url: node.url, name: 'secure' }])
  const [seenByFleet] = app.fleet.nodes
  if (seenByFleet === undefined) throw new Error('one node')
  await until(() => seenByFleet.up === false || seenByFleet.modelsKnown, 'the node was probed')
  return { app, node: seenByFleet, seen: node.seen, renew: node.renew, url }
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

  test('is measured by when its certificate ends and how long it lives', async () => {
    const { app, node } = await openBefore('node.pem', { caFile })
    const label = `{node="${node.name}"}`
    const measured = async (): Promise<(number | null)[]> => {
      const text = await scrapeOf(app.observer)
      return ['expiry_timestamp_seconds', 'lifetime_seconds'].map((what) => sample(text, `corral_node_certificate_${what}${label}`))
    }
    await expect.poll(measured).toEqual([long.untilWallMs / 1_000, (long.untilWallMs - long.fromWallMs) / 1_000])
    app.fleet.removeNode(node.name)
    expect(await measured()).toEqual([null, null])
  })

  test('is down once its certificate has ended, which is measured, and back by itself with a renewed one', async () => {
    const both = join(mkdtempSync(join(tmpdir(), 'corral-ca-')), 'both.pem')
    writeFileSync(both, ['ca.pem', 'ended.pem'].map((name) => readFileSync(certificateFile(name), 'utf8')).join(''))
    onTestFinished(() => rmSync(dirname(both), { recursive: true }))
    const { app, node, renew } = await openBefore('ended.pem', { caFile: both })
    expect([node.up, node.downReason]).toEqual([false, expect.stringContaining('CERT_HAS_EXPIRED')])
    const ends = async () => sample(await scrapeOf(app.observer), `corral_node_certificate_expiry_timestamp_seconds{node="secure"}`)
    await expect.poll(ends).toBe(ended.untilWallMs / 1_000)
    renew('node.pem')
    await until(() => node.up === true, 'the node is back')
    await expect.poll(ends).toBe(long.untilWallMs / 1_000)
  })
})

test('a gateway measures the certificate of its collector of traces', async () => {
  const { app } = await startApp([], { observe: { trace: { endpoint: await startSecureServer('node.pem') } } })
  await app.openStores()
  const ends = async () =>
    sample(await scrapeOf(app.observer), `corral_dependency_certificate_expiry_timestamp_seconds{dependency="collector"}`)
  await expect.poll(ends).toBe(long.untilWallMs / 1_000)
})

test('a node reached without TLS has no certificate', async () => {
  const { app } = await startApp([{ url: 'http://127.0.0.1:1', name: 'plain' }])
  expect(app.fleet.nodes[0]?.certificate).toBe(null)
})

test.each([
  [{ url: 'http://10.0.0.1:11434' }, null],
  [{ url: 'https://node.test' }, { host: 'node.test', port: 443, serverName: 'node.test' }],
  [{ url: 'https://node.test:8443/ollama' }, { host: 'node.test', port: 8_443, serverName: 'node.test' }],
  [{ url: 'https://10.0.0.1' }, { host: '10.0.0.1', port: 443, serverName: null }],
  [{ url: 'https://[fd00::1]:8443' }, { host: 'fd00::1', port: 8_443, serverName: null }],
  [
    { url: 'https://10.0.0.1', headers: { Host: 'node.test:8443' } },
    { host: '10.0.0.1', port: 443, serverName: 'node.test' },
  ],
  [
    { url: 'https://node.test', headers: { host: 'not a host' } },
    { host: 'node.test', port: 443, serverName: 'node.test' },
  ],
])('the certificate of %j is looked at where its requests go', (options, expected) => {
  expect(nodePeer(nodeOptions.parse(options))).toEqual(expected === null ? null : { ...expected, opening: 'tls' })
})
