// Uploads of blobs: to all nodes that lack them, done when a node has them, held up by none that stands still.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Readable } from 'node:stream'

import { expect, onTestFinished, test } from 'vitest'

import { uploadBlob } from '../../src/fleet/operations/blobs.ts'
import { fleetOptions, nodeOptions } from '../../src/fleet/options.ts'
import { ask } from './ask.ts'
import { bareNode } from './bare-node.ts'
import { asked, expectIdle, type Gateway, openGateway } from './gateway.ts'
import { manualClock } from './manual-clock.ts'
import { makeCall } from './requests.ts'

function open(options: Parameters<typeof openGateway>[0] = {}): Promise<Gateway> {
  return openGateway({ nodes: 4, warm: false, ...options })
}

const blob = Buffer.from('weights '.repeat(200_000))
const path = `/api/blobs/sha256:${createHash('sha256').update(blob).digest('hex')}`

function headAt(url: string): Promise<number> {
  return ask(`${url}${path}`, undefined, { method: 'HEAD' }).then(({ status }) => status)
}

test('blobs go to all nodes at once', async () => {
  const gateway = await open()
  expect(await headAt(gateway.url)).toBe(404)
  expect((await ask(`${gateway.url}${path}`, blob)).status).toBe(201)
  expect(await Promise.all(gateway.sims.map((sim) => headAt(sim.url)))).toEqual([200, 200, 200, 200])
  expect(await headAt(gateway.url)).toBe(200)
  await expectIdle(gateway)
})

test('blobs go only to the nodes that lack them', async () => {
  const gateway = await open({ nodes: 3 })
  await ask(`${gateway.sim('node-2').url}${path}`, blob)
  expect(await headAt(gateway.url)).toBe(404)
  const before = asked(gateway, 'node-2', path)
  expect((await ask(`${gateway.url}${path}`, blob)).status).toBe(201)
  // One more question whether it is there, no upload.
  expect(asked(gateway, 'node-2', path) - before).toBe(1)
  expect(await headAt(gateway.url)).toBe(200)
})

test('whether a blob is there is answered though a node does not answer, and is its fault only when none does', async () => {
  const gateway = await open({ nodes: 3, fleet: { operations: { timeoutMs: 200 } } })
  const hang = (name: string) => gateway.sim(name).control.set('hang-before-head', { path })
  hang('node-1')
  expect(await headAt(gateway.url)).toBe(404)
  for (const name of ['node-2', 'node-3']) await ask(`${gateway.sim(name).url}${path}`, blob)
  hang('node-1')
  expect(await headAt(gateway.url)).toBe(200)
  for (const { name } of gateway.sims) hang(name)
  expect(await headAt(gateway.url)).toBe(502)
})

test('blobs that every node has are answered without an upload', async () => {
  const gateway = await open({ nodes: 2 })
  await ask(`${gateway.url}${path}`, blob)
  const before = gateway.sims.map((sim) => asked(gateway, sim.name, path))
  expect((await ask(`${gateway.url}${path}`, blob)).status).toBe(200)
  expect(gateway.sims.map((sim, index) => asked(gateway, sim.name, path) - (before[index] ?? 0))).toEqual([1, 1])
})

test('blobs with a wrong digest get the refusal of a node', async () => {
  const gateway = await open({ nodes: 2 })
  const wrong = `/api/blobs/sha256:${'0'.repeat(64)}`
  const reply = await ask(`${gateway.url}${wrong}`, blob)
  expect(reply.status).toBe(400)
  expect(reply.text).toContain('digest mismatch')
})

test('blobs are done when a node has them, and name those on which they failed', async () => {
  const gateway = await open({ nodes: 3 })
  gateway.sim('node-3').control.set('rst-before-head', { path })
  const reply = await ask(`${gateway.url}${path}`, blob)
  expect([reply.status, reply.headers['x-corral-failed-nodes']]).toEqual([201, 'node-3'])
  expect(await Promise.all(['node-1', 'node-2'].map((name) => headAt(gateway.sim(name).url)))).toEqual([200, 200])
  gateway.sim('node-3').control.set('rst-before-head', { path })
  const again = await ask(`${gateway.url}${path}`, blob)
  expect([again.status, again.headers['x-corral-failed-nodes']]).toEqual([200, 'node-3'])
})

test('blobs that no node took are the fault of the nodes', async () => {
  const gateway = await open({ nodes: 2 })
  for (const { control } of gateway.sims) control.set('rst-before-head', { path })
  const reply = await ask(`${gateway.url}${path}`, blob)
  expect(reply.status).toBe(502)
  expect(reply.text).toMatch(/the upload failed on every node \(node-1: connection.*; node-2: connection/)
})

test('blobs are not held up by a node that is silent after the last byte', async () => {
  const gateway = await open({ nodes: 3, fleet: { operations: { timeoutMs: 100, standstillMsMax: 500 } } })
  gateway.sim('node-3').control.set('hang-before-head', { path })
  const reply = await ask(`${gateway.url}${path}`, blob)
  expect([reply.status, reply.headers['x-corral-failed-nodes']]).toEqual([201, 'node-3'])
  expect(reply.totalMs).toBeLessThan(3_000)
  await expectIdle(gateway)
})

test('blobs are not held up by a node that is down and silent', async () => {
  const fleet = { probe: { intervalMs: 50, timeoutMs: 50 }, operations: { timeoutMs: 100 } }
  const gateway = await open({ nodes: 2, fleet })
  gateway.sim('node-2').control.set('hang-before-head')
  const reply = await ask(`${gateway.url}${path}`, blob)
  expect([reply.status, reply.headers['x-corral-failed-nodes']]).toEqual([201, 'node-2'])
  await expectIdle(gateway)
})

test('blobs go on to others when a node takes no byte, and the client is not blamed', async () => {
  const http = { bodyPauseMsMax: 300 }
  const gateway = await open({ nodes: 1, http, fleet: { operations: { standstillMsMax: 1_000 } } })
  const deaf = createServer((request, response) => {
    if (request.method === 'POST') return
    response.writeHead(request.method === 'HEAD' ? 404 : 200).end('{"version":"0.33.0","models":[]}')
  })
  await once(deaf.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(async () => {
    deaf.closeAllConnections()
    deaf.close()
  })
  const address = deaf.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await gateway.app.fleet.addNode(nodeOptions.parse({ url: `http://127.0.0.1:${port}`, name: 'deaf' }))
  const large = Buffer.alloc(20_000_000, 'w')
  const largePath = `/api/blobs/sha256:${createHash('sha256').update(large).digest('hex')}`
  const reply = await ask(`${gateway.url}${largePath}`, large)
  expect([reply.status, reply.headers['x-corral-failed-nodes']]).toEqual([201, 'deaf'])
  expect((await ask(`${gateway.sim('node-1').url}${largePath}`, undefined, { method: 'HEAD' })).status).toBe(200)
  await expectIdle(gateway)
})

test('an upload that ends in a fault of our own is watched no more', async () => {
  const clock = manualClock()
  const deps = { clock, nodes: () => [bareNode('a')], options: () => fleetOptions.parse({}), onPartFailed: () => undefined }
  await expect(uploadBlob(deps, { path, headers: [], source: Readable.from([blob]) }, makeCall())).rejects.toThrow('a bare node was asked')
  expect(clock.pending).toBe(0)
})
