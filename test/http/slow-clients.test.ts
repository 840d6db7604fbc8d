/** Clients that send or read slowly: bounded in time and in memory, and never at the cost of others. */
import { afterEach, describe, expect, test } from 'vitest'

import { chatEnd, chatLine, type FakeNode } from './fake-node.ts'
import { type Gateway, type GatewayOptions, goodChat, requestBytes, startGateway } from './gateway.ts'
import { RawClient } from './raw-client.ts'

let gateway: Gateway | null = null
const clients: RawClient[] = []

async function start(options: GatewayOptions): Promise<Gateway> {
  gateway = await startGateway(options)
  return gateway
}

async function open(port: number): Promise<RawClient> {
  const client = await RawClient.open(port)
  clients.push(client)
  return client
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await gateway?.close()
  gateway = null
})

/** Every chat is answered with lines of 64 KiB, as fast as the gateway takes them. Resolves bytes written so far. */
function pourInto(node: FakeNode): { bytes: number } {
  const poured = { bytes: 0 }
  const before = node.script
  node.script = (incoming, outgoing, body) => {
    if (!body.includes('"pour"')) return before(incoming, outgoing, body)
    outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' })
    const line = chatLine('x'.repeat(65_536))
    const pour = (): void => {
      while (!outgoing.destroyed && poured.bytes < 256 * 1_048_576) {
        poured.bytes += line.length
        if (!outgoing.write(line)) return void outgoing.once('drain', pour)
      }
      outgoing.end(chatEnd)
    }
    pour()
  }
  return poured
}

const pourBody = '{"model":"small","messages":[{"role":"user","content":"pour"}],"x":"pour"}'

describe('slow senders', () => {
  test('F61: half a head gets 408 and is closed after headersTimeoutMs', async () => {
    const { port, assertHealthy } = await start({ http: { headersTimeoutMs: 300 } })
    const client = await open(port)
    const startMs = performance.now()
    client.send('POST /api/chat HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
    expect((await client.answer()).status).toBe(408)
    await client.closed
    expect(performance.now() - startMs).toBeLessThan(2_500)
    await assertHealthy()
  })

  test('F61: a head in single bytes is no way around headersTimeoutMs', async () => {
    const { port, assertHealthy } = await start({ http: { headersTimeoutMs: 400 } })
    const client = await open(port)
    client.send('GET /api/version HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
    const drip = setInterval(() => client.send('a'), 50)
    await client.closed
    clearInterval(drip)
    expect(client.text).toMatch(/^HTTP\/1\.1 408/)
    await assertHealthy()
  })

  test('F61: a connection that never sends a byte is closed', async () => {
    const { port, assertHealthy } = await start({ http: { headersTimeoutMs: 300, keepAliveTimeoutMs: 500 } })
    const client = await open(port)
    await client.closed
    await assertHealthy()
  })

  test.each([
    ['/api/chat', '"error":"'],
    ['/v1/chat/completions', '"type":"api_error"'],
    ['/v1/messages', '"type":"error"'],
  ])('F61: a body that stops on %s gets 408 in the dialect and the connection is closed', async (path, shape) => {
    const { port, node, assertHealthy } = await start({ http: { bodyPauseMsMax: 300 } })
    const client = await open(port)
    client.send(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"model":"small",`)
    const answer = await client.answer()
    expect(answer.status).toBe(408)
    expect(answer.body).toContain(shape)
    expect(answer.headers['connection']).toBe('close')
    await client.closed
    expect(node.received.length).toBe(0)
    await assertHealthy()
  })

  test('F61: a chunked body that stops gets 408', async () => {
    const { port, assertHealthy } = await start({ http: { bodyPauseMsMax: 300 } })
    const client = await open(port)
    client.send('POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"mod\r\n')
    expect((await client.answer()).status).toBe(408)
    await client.closed
    await assertHealthy()
  })

  test('a body in pieces with short pauses passes', async () => {
    const { port } = await start({ http: { bodyPauseMsMax: 600 } })
    const client = await open(port)
    client.send(`POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${goodChat.length}\r\n\r\n`)
    for (const byte of goodChat) {
      client.send(byte)
      await new Promise((resolve) => {
        setTimeout(resolve, 5)
      })
    }
    expect((await client.answer()).status).toBe(200)
  })

  test('a body in two pieces with a pause below the limit before each passes', async () => {
    const { port } = await start({ http: { bodyPauseMsMax: 1_000 } })
    const client = await open(port)
    const body = goodChat.padEnd(400)
    client.send(`POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`)
    for (const piece of [body.slice(0, 200), body.slice(200)]) {
      await new Promise((resolve) => {
        setTimeout(resolve, 650)
      })
      client.send(piece)
    }
    expect((await client.answer()).status).toBe(200)
  })

  test('a body that stops after a refusal does not hold the connection', async () => {
    const { port, assertHealthy } = await start({})
    const client = await open(port)
    client.send('POST /api/tags HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{')
    expect((await client.answer()).status).toBe(405)
    await client.closed
    await assertHealthy()
  })

  test('a blob upload that stops is cut after bodyPauseMsMax', async () => {
    const { port, assertHealthy } = await start({ http: { bodyPauseMsMax: 300 } })
    const client = await open(port)
    client.send(`POST /api/blobs/sha256:${'0'.repeat(64)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc`)
    expect((await client.answer()).status).toBe(408)
    await client.closed
    await assertHealthy()
  })

  test('F60: 500 idle connections leave room for others', async () => {
    const { port, assertHealthy } = await start({})
    await Promise.all(Array.from({ length: 500 }, () => open(port)))
    await assertHealthy()
  })

  test('connections beyond connectionsMax are refused, those before still served', async () => {
    const { port, node } = await start({ http: { connectionsMax: 5 } })
    const [first] = await Promise.all(Array.from({ length: 5 }, () => open(port)))
    const sixth = await open(port)
    await sixth.closed
    first?.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    expect((await first?.answer())?.status).toBe(200)
    expect(node.received.length).toBe(1)
  })
})

describe('slow readers', () => {
  test('F59: a reader that takes nothing is dropped by the bound on memory, and the node is freed', async () => {
    const { port, node, assertHealthy, app, ask } = await start({ http: { stallMs: 60_000 } })
    const poured = pourInto(node)
    const client = await open(port)
    client.socket.pause()
    const arrival = node.arrival()
    client.send(requestBytes('POST', '/api/chat', { body: pourBody, headers: ['X-Corral-Explain: true'] }))
    const received = await arrival
    await received.cut
    // What lies in four kernel buffers and in the queue; never the 256 MiB of the whole.
    expect(poured.bytes).toBeLessThan(40 * 1_048_576)
    expect(app.fleet.activeAttempts).toBe(0)
    const { body } = await ask('GET', `/admin/requests/${String(received.headers['x-request-id'])}/explain`)
    const unread = Number(/the client left (\d+) bytes unread/.exec(body)?.[1])
    expect(unread).toBeGreaterThan(1_048_576 - 2 * 65_536)
    expect(unread).toBeLessThanOrEqual(1_048_576)
    await assertHealthy()
  })

  test('F59: a reader that takes nothing of a slow stream is dropped after stallMs', async () => {
    const { port, node, assertHealthy } = await start({ http: { stallMs: 300 }, fleet: { bufferBytesMax: 64 * 1_048_576 } })
    pourInto(node)
    const client = await open(port)
    client.socket.pause()
    const arrival = node.arrival()
    const startMs = performance.now()
    client.send(requestBytes('POST', '/api/chat', { body: pourBody }))
    const cutMs = await (await arrival).cut
    expect(cutMs - startMs).toBeLessThan(3_000)
    await assertHealthy()
  })

  test('F59: a stalled reader of a whole answer is dropped after stallMs', async () => {
    const { port, node, assertHealthy, app } = await start({ http: { stallMs: 300 } })
    const before = node.script
    const body = Buffer.from(`{"model":"small","message":{"content":"${'x'.repeat(32 * 1_048_576)}"},"done":true}`)
    node.script = (incoming, outgoing, sent) => {
      if (!sent.includes('"pour"')) return before(incoming, outgoing, sent)
      outgoing.writeHead(200, { 'content-type': 'application/json', 'content-length': String(body.length) }).end(body)
    }
    const client = await open(port)
    client.socket.pause()
    client.send(requestBytes('POST', '/api/chat', { body: '{"model":"small","stream":false,"x":"pour"}' }))
    await new Promise((resolve) => {
      setTimeout(resolve, 1_500)
    })
    client.socket.resume()
    await client.closed
    expect(client.text.length).toBeLessThan(body.length)
    expect(app.calls.size).toBe(0)
    await assertHealthy()
  })

  test('a reader that pauses for less than stallMs gets every byte', async () => {
    const { port, node } = await start({ http: { stallMs: 5_000 } })
    const line = chatLine('y'.repeat(1_000))
    node.script = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' })
      for (let index = 0; index < 500; index += 1) outgoing.write(line)
      outgoing.end(chatEnd)
    }
    const client = await open(port)
    client.socket.pause()
    client.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    await node.arrival()
    client.socket.resume()
    const answer = await client.answer()
    expect(answer.body).toBe(line.repeat(500) + chatEnd)
  })
})
