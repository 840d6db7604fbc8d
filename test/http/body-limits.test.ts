/** Bodies over a limit, compressed, or sent only when asked for. */
import { gzipSync, zstdCompressSync } from 'node:zlib'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { type Gateway, goodChat, requestBytes, startGateway } from './gateway.ts'
import { exchange, RawClient } from './raw-client.ts'

const mebibyte = 1_048_576
let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({ http: { bodyBytesMax: 64_000 } })
})
afterAll(() => gateway.close())

const routes = ['/api/chat', '/v1/chat/completions', '/v1/messages'] as const

describe('size', () => {
  test.each(routes)('B41: a declared length over the limit on %s gets 413 without a byte of the body', async (path) => {
    const before = gateway.node.received.length
    const client = await RawClient.open(gateway.port)
    client.send(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64001\r\n\r\n`)
    const answer = await client.answer()
    expect(answer.status).toBe(413)
    expect(answer.headers['connection']).toBe('close')
    expect(answer.body).toContain('64000')
    await client.closed
    client.destroy()
    expect(gateway.node.received.length).toBe(before)
    await gateway.assertHealthy()
  })

  test.each(routes)('B41: a chunked body over the limit on %s gets 413 and the rest is not read', async (path) => {
    const client = await RawClient.open(gateway.port)
    client.send(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n`)
    for (let sent = 0; sent < 70_000; sent += 7_000) client.send(`1b58\r\n${'a'.repeat(7_000)}\r\n`)
    const answer = await client.answer()
    expect(answer.status).toBe(413)
    await client.closed
    client.destroy()
    await gateway.assertHealthy()
  })

  test('B41: a client that sends 64 MiB regardless still reads its 413, and little of it is taken in', async () => {
    const client = await RawClient.open(gateway.port)
    client.send(`POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${64 * mebibyte}\r\n\r\n`)
    client.send(Buffer.alloc(64 * mebibyte))
    expect((await client.answer()).status).toBe(413)
    await client.closed
    expect(client.socket.bytesWritten - client.socket.writableLength).toBeLessThan(32 * mebibyte)
    client.destroy()
    await gateway.assertHealthy()
  })

  test('a body of exactly the limit passes', async () => {
    const body = `{"model":"small","messages":[],"prompt":"${'a'.repeat(64_000 - 43)}"}`.padEnd(64_000)
    expect(Buffer.byteLength(body)).toBe(64_000)
    expect((await gateway.ask('POST', '/api/chat', { body })).status).toBe(200)
  })

  test('a request hidden behind an unread body is never run', async () => {
    const hidden = 'DELETE /api/delete HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17\r\n\r\n{"model":"small"}'
    const client = await RawClient.open(gateway.port)
    client.send(`POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64001\r\n\r\n${'a'.repeat(64_001)}${hidden}`)
    expect((await client.answer()).status).toBe(413)
    await client.closed
    client.destroy()
    expect(gateway.node.received.some(({ method }) => method === 'DELETE')).toBe(false)
  })
})

describe('the limit that a 413 names', () => {
  const chunked = (path: string, bytes: number): string =>
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${bytes.toString(16)}\r\n${'a'.repeat(bytes)}`

  test.each([
    ['/api/chat', 64_001, 'the request body is over 64000 bytes (http.bodyBytesMax)'],
    ['/admin/nodes', 65_537, 'the request body is over 65536 bytes (the limit of this route)'],
  ])('is the one of %s', async (path, bytes, words) => {
    const client = await RawClient.open(gateway.port)
    client.send(chunked(path, bytes))
    const { status, body } = await client.answer()
    expect([status, body]).toEqual([413, expect.stringContaining(words)])
    client.destroy()
    await gateway.assertHealthy()
  })
})

describe('bodies together', () => {
  test('over their bound the next byte gets 503 with Retry-After, and the place is free again when the others leave', async () => {
    const small = await startGateway({ http: { bodyBytesMax: 64_000, bodiesBytesMax: 100_000 } })
    const head = 'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n'
    const first = await RawClient.open(small.port)
    first.send(head + 'a'.repeat(59_000))
    const second = await RawClient.open(small.port)
    second.send(head + 'a'.repeat(59_000))
    const answer = await second.answer()
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
    expect(answer.body).toContain('bodiesBytesMax')
    first.destroy()
    await second.closed
    await small.assertHealthy()
    const body = `{"model":"small","messages":[],"prompt":"${'a'.repeat(60_000)}"}`
    expect((await small.ask('POST', '/api/chat', { body })).status).toBe(200)
    await small.close()
  })
})

describe('Content-Encoding', () => {
  const zstd = ['Content-Encoding: zstd', 'Content-Type: application/json']

  test('T246: a zstd body on /v1 reaches the node as plain JSON', async () => {
    const answer = await gateway.ask('POST', '/v1/chat/completions', { headers: zstd, body: zstdCompressSync(Buffer.from(goodChat)) })
    expect(answer.status).toBe(200)
    const seen = gateway.node.received.at(-1)
    expect(seen?.body.toString()).toBe(goodChat)
    expect(seen?.headers['content-encoding']).toBeUndefined()
    await gateway.assertHealthy()
  })

  test.each([
    ['no zstd', Buffer.from('{"model":"small"}')],
    ['cut short', zstdCompressSync(Buffer.from(goodChat)).subarray(0, 20)],
    ['a bomb of 64 MiB', zstdCompressSync(Buffer.alloc(64 * mebibyte))],
    ['over the limit once decompressed', zstdCompressSync(Buffer.alloc(64_001, 0x20))],
    ['an empty body', Buffer.alloc(0)],
  ])('a zstd body that is %s gets 400 or 413 in the dialect, or the words of the node', async (name, body) => {
    for (const path of ['/v1/chat/completions', '/v1/messages']) {
      const answer = await gateway.ask('POST', path, { headers: zstd, body })
      expect([400, 413]).toContain(answer.status)
      if (name !== 'an empty body') expect(typeof JSON.parse(answer.body).error.message).toBe('string')
    }
    await gateway.assertHealthy()
  })

  test('a zstd body over a limit is told which one', async () => {
    const ask = async (to: Gateway, bytes: number): Promise<unknown> => {
      const body = zstdCompressSync(Buffer.alloc(bytes, 0x20))
      return JSON.parse((await to.ask('POST', '/v1/chat/completions', { headers: zstd, body })).body).error.message
    }
    expect(await ask(gateway, 64_001)).toContain('over 64000 bytes (http.bodyBytesMax)')
    const large = await startGateway()
    expect(await ask(large, 21 * mebibyte)).toContain("over 20971520 bytes (Ollama's own limit)")
    await large.close()
  })

  test('B37: a duplicate key inside a zstd body is seen', async () => {
    const body = zstdCompressSync(Buffer.from('{"model":"small","MODEL":"big"}'))
    for (const headers of [zstd, ['Content-Encoding: ZSTD']]) {
      expect((await gateway.ask('POST', '/v1/chat/completions', { headers, body })).status).toBe(400)
    }
  })

  test.each(['gzip', 'br', 'deflate', 'gzip, zstd'])(
    'B33: a body in %s on /v1 reaches the node as it is, and its words come back',
    async (encoding) => {
      const body = gzipSync(goodChat)
      for (const path of ['/v1/chat/completions', '/v1/messages']) {
        const answer = await gateway.ask('POST', path, { headers: [`Content-Encoding: ${encoding}`], body })
        expect([answer.status, answer.body]).toEqual([400, '{"error":"invalid character in the body, says the node"}'])
        expect(gateway.node.received.at(-1)?.body.equals(body)).toBe(true)
        expect(gateway.node.received.at(-1)?.headers['content-encoding']).toBe(encoding)
      }
      await gateway.assertHealthy()
    },
  )

  test('B33, T203, T204: gzip, and zstd on /api, reach the node as they are and its words come back', async () => {
    for (const [encoding, body] of [
      ['gzip', gzipSync(goodChat)],
      ['zstd', zstdCompressSync(Buffer.from(goodChat))],
    ] as const) {
      const answer = await gateway.ask('POST', '/api/chat', { headers: [`Content-Encoding: ${encoding}`], body })
      expect([answer.status, answer.body]).toEqual([400, '{"error":"invalid character in the body, says the node"}'])
      expect(gateway.node.received.at(-1)?.body.equals(body)).toBe(true)
    }
    await gateway.assertHealthy()
  })
})

describe('Expect: 100-continue', () => {
  test('T202: the client is asked for its body, then answered', async () => {
    const client = await RawClient.open(gateway.port)
    client.send(`POST /api/chat HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: ${goodChat.length}\r\n\r\n`)
    expect((await client.answer()).status).toBe(100)
    client.send(goodChat)
    expect((await client.answer()).status).toBe(200)
    expect(gateway.node.received.at(-1)?.headers.expect).toBeUndefined()
    client.destroy()
    await gateway.assertHealthy()
  })

  test.each([
    ['a body over the limit', 'POST /api/chat HTTP/1.1', 'Content-Length: 9999999', 413],
    ['a wrong method', 'PUT /api/chat HTTP/1.1', 'Content-Length: 9999999', 405],
    ['a foreign Host', 'POST /api/chat HTTP/1.1\r\nX: y', 'Content-Length: 10', 200],
    ['an encoded path', 'POST /api/%63hat HTTP/1.1', 'Content-Length: 9999999', 404],
  ])('%s is answered without a 100', async (name, first, length, status) => {
    if (name === 'a foreign Host') {
      const bytes = requestBytes('POST', '/api/chat', { host: 'evil.example', headers: ['Expect: 100-continue', length] })
      expect((await exchange(gateway.port, bytes)).status).toBe(403)
      return
    }
    const answer = await exchange(gateway.port, `${first}\r\nHost: localhost\r\nExpect: 100-continue\r\n${length}\r\n\r\n`)
    expect(answer.status).toBe(status)
    await gateway.assertHealthy()
  })
})
