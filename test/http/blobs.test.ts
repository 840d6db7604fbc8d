/** Blob uploads: never buffered, checked by the nodes, asked for only when a node lacks them. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'

import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

import { collect } from '../support/collect.ts'
import { type Gateway, startGateway } from './gateway.ts'
import { RawClient } from './raw-client.ts'

const mebibyte = 1_048_576
let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({ http: { bodyBytesMax: mebibyte } })
})
afterAll(() => gateway.close())

const digestOf = (body: string): string => `sha256:${createHash('sha256').update(body).digest('hex')}`

test('T153: a chunked upload is created', async () => {
  const body = 'hello blob'
  const client = await RawClient.open(gateway.port)
  client.send(
    `POST /api/blobs/${digestOf(body)} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\na\r\n${body}\r\n0\r\n\r\n`,
  )
  expect((await client.answer()).status).toBe(201)
  expect(gateway.node.blobs.has(digestOf(body))).toBe(true)
  client.destroy()
  await gateway.assertHealthy()
})

test('T151: a digest that does not match gets the words of the node', async () => {
  const answer = await gateway.ask('POST', `/api/blobs/sha256:${'2'.repeat(64)}`, { body: 'hello blob' })
  expect([answer.status, answer.body]).toEqual([400, '{"error":"digest mismatch, says the node"}'])
  await gateway.assertHealthy()
})

test('T154: HEAD says whether all nodes have it', async () => {
  const digest = digestOf('present')
  expect((await gateway.ask('HEAD', `/api/blobs/${digest}`)).status).toBe(404)
  gateway.node.blobs.add(digest)
  expect((await gateway.ask('HEAD', `/api/blobs/${digest}`)).status).toBe(200)
})

test('T156: one that is there gets 200 and its body is not read', async () => {
  const digest = digestOf('there')
  gateway.node.blobs.add(digest)
  const before = gateway.node.blobBytes
  const client = await RawClient.open(gateway.port)
  client.send(`POST /api/blobs/${digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${1024 ** 3}\r\n\r\n`)
  client.send(Buffer.alloc(8 * mebibyte))
  expect((await client.answer()).status).toBe(200)
  await client.closed
  client.destroy()
  expect(gateway.node.blobBytes).toBe(before)
  await gateway.assertHealthy()
})

test('T157: one that is there and Expect: 100-continue gets 200 without a 100', async () => {
  const digest = digestOf('expected')
  gateway.node.blobs.add(digest)
  const client = await RawClient.open(gateway.port)
  client.send(`POST /api/blobs/${digest} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 35\r\n\r\n`)
  expect((await client.answer()).status).toBe(200)
  client.destroy()
  await gateway.assertHealthy()
})

test('T158: a new one with Expect: 100-continue is asked for, then created', async () => {
  const body = 'All of this blob is new.\n'
  const client = await RawClient.open(gateway.port)
  client.send(
    `POST /api/blobs/${digestOf(body)} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`,
  )
  expect((await client.answer()).status).toBe(100)
  client.send(body)
  expect((await client.answer()).status).toBe(201)
  client.destroy()
  await gateway.assertHealthy()
})

test('an empty blob is created', async () => {
  const answer = await gateway.ask('POST', `/api/blobs/${digestOf('')}`, { body: '' })
  expect(answer.status).toBe(201)
  await gateway.assertHealthy()
})

test.each(['..', '../x', '%2e%2e', '%2e%2e%2f%2e%2e%2fapi%2ftags', 'a%00b', 'a%5cb', ''])(
  'a digest like "%s" is no way out of the route',
  async (digest) => {
    const before = gateway.node.received.length
    const answer = await gateway.ask('POST', `/api/blobs/${digest}`, { body: 'x' })
    expect([307, 400, 404, 405]).toContain(answer.status)
    const reached = gateway.node.received.slice(before).map(({ url }) => decodeURIComponent(url))
    expect(reached.filter((url) => url.includes('..') || url.includes('\0'))).toEqual([])
    await gateway.assertHealthy()
  },
)

test('200 MB go through with bounded memory, whatever the limit of JSON bodies', async () => {
  const piece = Buffer.alloc(mebibyte, 'z')
  const pieces = 200
  const hash = createHash('sha256')
  for (let index = 0; index < pieces; index += 1) hash.update(piece)
  const client = await RawClient.open(gateway.port)
  onTestFinished(() => client.destroy())
  collect()
  const before = process.memoryUsage()
  let rssBytesMax = 0
  let heldBytesMax = 0
  client.send(`POST /api/blobs/sha256:${hash.digest('hex')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${pieces * mebibyte}\r\n\r\n`)
  for (let index = 0; index < pieces; index += 1) {
    if (!client.socket.write(piece)) await once(client.socket, 'drain')
    rssBytesMax = Math.max(rssBytesMax, process.memoryUsage.rss())
    if (index % 10 !== 9) continue
    collect()
    heldBytesMax = Math.max(heldBytesMax, process.memoryUsage().arrayBuffers)
  }
  expect((await client.answer()).status).toBe(201)
  // Client, gateway and node share this process: three times the socket buffers, and what the collector sweeps late.
  expect(heldBytesMax - before.arrayBuffers).toBeLessThan(48 * mebibyte)
  expect(rssBytesMax - before.rss).toBeLessThan(120 * mebibyte)
  await gateway.assertHealthy()
})

test('B1: an upload with two lengths is refused before a node hears of it', async () => {
  const before = gateway.node.received.length
  const client = await RawClient.open(gateway.port)
  client.send(
    `POST /api/blobs/${digestOf('x')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`,
  )
  expect((await client.answer()).status).toBe(400)
  client.destroy()
  expect(gateway.node.received.length).toBe(before)
  await gateway.assertHealthy()
})

test('B14: an upload whose chunks break off is not created', async () => {
  const digest = digestOf('abc')
  const client = await RawClient.open(gateway.port)
  client.send(`POST /api/blobs/${digest} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZZ\r\n`)
  await client.closed
  client.destroy()
  expect(gateway.node.blobs.has(digest)).toBe(false)
  await gateway.assertHealthy()
})
