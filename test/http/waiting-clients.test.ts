/** Clients that wait for a stream: the early head and its harmless bytes, and what follows them in either framing. */
import { afterEach, describe, expect, test } from 'vitest'

import { chatEnd, chatLine, type Script, sendJson } from './fake-node.ts'
import { type Gateway, goodChat, requestBytes, startGateway } from './gateway.ts'
import { RawClient } from './raw-client.ts'

let gateway: Gateway | null = null
afterEach(async () => {
  await gateway?.close()
  gateway = null
})

const waitMs = 150
const sse = 'data: {"id":"1","choices":[{"delta":{"content":"hello"}}]}\n\ndata: [DONE]\n\n'

/** Answers by `late` after the first bytes of the early head went out. */
async function start(late: Script): Promise<Gateway> {
  gateway = await startGateway({ http: { keepAliveBytesAfterMs: 50, keepAliveBytesEveryMs: 40 } })
  const usual = gateway.node.script
  gateway.node.script = (incoming, outgoing, body) => {
    if (!body.includes('slow')) return usual(incoming, outgoing, body)
    setTimeout(() => late(incoming, outgoing, body), waitMs)
  }
  return gateway
}

const slow = goodChat.replace('hi', 'slow').replace('{', '{"stream":true,')

async function ask(port: number, path: string, version = 'HTTP/1.1'): Promise<{ text: string; client: RawClient }> {
  const client = await RawClient.open(port)
  client.send(requestBytes('POST', path, { body: slow }).toString('latin1').replace('HTTP/1.1', version))
  const answer = await client.answer()
  expect(answer.status).toBe(200)
  return { text: answer.body, client }
}

const lines: Script = (_incoming, outgoing) => {
  outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' })
  outgoing.end(chatLine('hello') + chatEnd)
}

const events: Script = (_incoming, outgoing) => {
  outgoing.writeHead(200, { 'content-type': 'text/event-stream' })
  outgoing.end(sse)
}

const refuses: Script = (_incoming, outgoing) => sendJson(outgoing, 400, { error: 'the node refuses' })

test('a request that waits in line is told its place and its ETA in the early head', async () => {
  const one = { admission: { slotsAssumed: 1, slotsMax: 1 } }
  gateway = await startGateway({ http: { keepAliveBytesAfterMs: 50, keepAliveBytesEveryMs: 40 }, fleet: one })
  const { node, port, assertHealthy } = gateway
  const held: (() => void)[] = []
  const usual = node.script
  node.script = (...exchange) => void held.push(() => usual(...exchange))
  const clients: RawClient[] = []
  const heads: string[] = []
  for (let place = 0; place < 3; place += 1) {
    const client = await RawClient.open(port)
    clients.push(client)
    client.send(requestBytes('POST', '/api/chat', { body: slow }))
    await client.until('\r\n\r\n')
    heads.push(client.text)
  }
  // Nothing is learned yet: a request is taken to last a second.
  const told = heads.map((head) =>
    ['position', 'eta-ms'].map((name) => new RegExp(`^x-corral-queue-${name}: (.*)\r$`, 'm').exec(head)?.[1]),
  )
  expect(told).toEqual([
    [undefined, undefined],
    ['1', '1000'],
    ['2', '2000'],
  ])
  node.script = usual
  for (const answer of held) answer()
  for (const client of clients) expect((await client.answer()).body).toContain('"done":true')
  await assertHealthy()
})

describe('after an early head', () => {
  test('lines follow spaces, and each line is JSON', async () => {
    const { port, assertHealthy } = await start(lines)
    const { text, client } = await ask(port, '/api/chat')
    expect(text).toMatch(/^ +\{/)
    expect(
      text
        .trimEnd()
        .split('\n')
        .map((line) => typeof JSON.parse(line)),
    ).toEqual(['object', 'object'])
    client.destroy()
    await assertHealthy()
  })

  test('events follow comments', async () => {
    const { port, assertHealthy } = await start(events)
    const { text, client } = await ask(port, '/v1/chat/completions')
    expect(text).toMatch(/^(: keep-alive\n\n)+data: /)
    expect(text.endsWith(sse)).toBe(true)
    client.destroy()
    await assertHealthy()
  })

  test('the connection can be used again', async () => {
    const { port } = await start(lines)
    const { client } = await ask(port, '/api/chat')
    client.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    expect((await client.answer()).body).toContain('"done":true')
    client.destroy()
  })

  test.each([
    ['/api/chat', /^ +\{"error":"the node refuses"\}\n$/],
    ['/v1/chat/completions', /^(: keep-alive\n\n)+data: \{"error":\{"message":"the node refuses"/],
    ['/v1/messages', /^(: keep-alive\n\n)+event: error\ndata: \{"type":"error"/],
  ])('an error of the node goes in band on %s', async (path, shape) => {
    const { port, assertHealthy } = await start(refuses)
    const { text, client } = await ask(port, path)
    expect(text).toMatch(shape)
    client.destroy()
    await assertHealthy()
  })

  test.each([
    ['/api/chat', /^ +\{"model":"small","message":\{"content":"all"\},"done":true\}\n$/],
    ['/v1/chat/completions', /^(: keep-alive\n\n)+data: \{"error":\{"message":"[^"]*whole body[^}]*"code":"node_protocol"\}\}\n\n$/],
    ['/v1/responses', /^(: keep-alive\n\n)+event: error\ndata: \{.*whole body.*\}\n\nevent: response\.failed\ndata: \{.*\}\n\n$/],
    ['/v1/messages', /^(: keep-alive\n\n)+event: error\ndata: \{"type":"error".*whole body.*\}\n\n$/],
  ])('a whole answer to a request for a stream is a line on lines and an error on events: %s', async (path, shape) => {
    const { port, assertHealthy } = await start((_incoming, outgoing) =>
      sendJson(outgoing, 200, { model: 'small', message: { content: 'all' }, done: true }),
    )
    const { text, client } = await ask(port, path)
    expect(text).toMatch(shape)
    client.destroy()
    await assertHealthy()
  })

  test('an HTTP/1.0 client gets the same bytes without chunks', async () => {
    const { port, assertHealthy } = await start(lines)
    const { text, client } = await ask(port, '/api/chat', 'HTTP/1.0')
    expect(text).toMatch(/^ +\{/)
    expect(text).toContain('"done":true')
    client.destroy()
    await assertHealthy()
  })

  test('a shutdown beyond the grace ends it with an error in band', async () => {
    const { port, app } = await start(() => undefined)
    const client = await RawClient.open(port)
    client.send(requestBytes('POST', '/api/chat', { body: slow }))
    await client.until('\r\n\r\n')
    const closed = app.close(20)
    expect((await client.answer()).body).toMatch(/^ +\{"error":"Corral is shutting down"\}\n$/)
    await closed
  })

  test('F57: a client that leaves frees the node within 100 ms', async () => {
    const { port, node, assertHealthy } = await start(() => undefined)
    const arrival = node.arrival()
    const client = await RawClient.open(port)
    client.send(requestBytes('POST', '/api/chat', { body: slow }))
    const received = await arrival
    await client.until('\r\n\r\n')
    const leftMs = performance.now()
    client.socket.resetAndDestroy()
    expect((await received.cut) - leftMs).toBeLessThan(100)
    await assertHealthy()
  })
})
