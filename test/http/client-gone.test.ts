/** A client that leaves, at every phase: the node is freed within 100 ms, no slot leaks, and the node is not blamed. */
import { afterEach, describe, expect, test } from 'vitest'

import { chatEnd, chatLine, type Script } from './fake-node.ts'
import { type Gateway, goodChat, requestBytes, startGateway } from './gateway.ts'
import { RawClient } from './raw-client.ts'

let gateway: Gateway
afterEach(() => gateway.close())

const abortedWithinMs = 100
const hold = '{"model":"small","messages":[{"role":"user","content":"hold"}]}'

/** Answers a chat that says `hold` by `script`, others at once. */
async function start(script: Script, fleet: Record<string, unknown> = {}): Promise<Gateway> {
  gateway = await startGateway({ fleet })
  const usual = gateway.node.script
  gateway.node.script = (incoming, outgoing, body) => (body.includes('hold') ? script : usual)(incoming, outgoing, body)
  return gateway
}

const leaveBy = [
  ['a reset', (client: RawClient): void => void client.socket.resetAndDestroy()],
  ['a close', (client: RawClient): void => client.destroy()],
  ['a half-close (T445)', (client: RawClient): void => void client.socket.end()],
] as const

const routes = ['/api/chat', '/v1/chat/completions', '/v1/messages'] as const
const asStream = (path: string): string => (path === '/api/chat' ? hold : hold.replace('{', '{"stream":true,'))

describe.each(leaveBy)('by %s', (_, leave) => {
  test.each(routes)('F57: while %s waits for the head of the answer', async (path) => {
    const { port, node, assertHealthy } = await start(() => undefined)
    const client = await RawClient.open(port)
    const arrival = node.arrival()
    client.send(requestBytes('POST', path, { body: asStream(path) }))
    const received = await arrival
    const leftMs = performance.now()
    leave(client)
    expect((await received.cut) - leftMs).toBeLessThan(abortedWithinMs)
    client.destroy()
    await assertHealthy()
  })

  test('F57: while a whole answer is under way', async () => {
    const { port, node, assertHealthy } = await start((_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' }).write('{"model"')
    })
    const client = await RawClient.open(port)
    const arrival = node.arrival()
    client.send(requestBytes('POST', '/api/chat', { body: hold.replace('{', '{"stream":false,') }))
    const received = await arrival
    const leftMs = performance.now()
    leave(client)
    expect((await received.cut) - leftMs).toBeLessThan(abortedWithinMs)
    client.destroy()
    await assertHealthy()
  })

  test('F58: in the middle of a stream', async () => {
    const { port, node, assertHealthy } = await start((_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' }).write(chatLine('one'))
    })
    const client = await RawClient.open(port)
    const arrival = node.arrival()
    client.send(requestBytes('POST', '/api/chat', { body: hold }))
    const received = await arrival
    await client.until('one')
    const leftMs = performance.now()
    leave(client)
    expect((await received.cut) - leftMs).toBeLessThan(abortedWithinMs)
    client.destroy()
    await assertHealthy()
  })

  test('F57: while queued; the one before it goes on', async () => {
    const held: (() => void)[] = []
    const { port, node, assertHealthy, app } = await start(
      (_incoming, outgoing) => {
        outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' }).write(chatLine('one'))
        held.push(() => void outgoing.end(chatEnd))
      },
      { admission: { slotsAssumed: 1, slotsMax: 1 } },
    )
    const first = await RawClient.open(port)
    first.send(requestBytes('POST', '/api/chat', { body: hold }))
    await first.until('one')
    const second = await RawClient.open(port)
    second.send(requestBytes('POST', '/api/chat', { body: hold }))
    while (app.calls.size < 2) await nextTurn()
    leave(second)
    while (app.calls.size > 1) await nextTurn()
    expect(node.received.length).toBe(1)
    for (const end of held) end()
    expect((await first.answer()).body).toContain('"done":true')
    first.destroy()
    second.destroy()
    await assertHealthy()
  })

  test('while it sends its body', async () => {
    const { port, node, assertHealthy, app } = await start(() => undefined)
    const client = await RawClient.open(port)
    client.send('POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"model":')
    while (app.calls.size === 0) await nextTurn()
    leave(client)
    while (app.calls.size > 0) await nextTurn()
    expect(node.received.length).toBe(0)
    client.destroy()
    await assertHealthy()
  })

  test('while it uploads a blob', async () => {
    const { port, node, assertHealthy } = await start(() => undefined)
    const client = await RawClient.open(port)
    client.send(
      `POST /api/blobs/sha256:${'1'.repeat(64)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n${'b'.repeat(1_000)}`,
    )
    while (node.blobBytes === 0) await nextTurn()
    const upload = node.received.find(({ method }) => method === 'POST')
    const leftMs = performance.now()
    leave(client)
    expect(((await upload?.cut) ?? Infinity) - leftMs).toBeLessThan(abortedWithinMs)
    client.destroy()
    await assertHealthy()
  })

  test('while it pulls a model', async () => {
    gateway = await startGateway()
    const usual = gateway.node.script
    gateway.node.script = (incoming, outgoing, body) => {
      if (incoming.url !== '/api/pull') return usual(incoming, outgoing, body)
      outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' }).write('{"status":"pulling manifest"}\n')
    }
    const client = await RawClient.open(gateway.port)
    const arrival = gateway.node.arrival()
    client.send(requestBytes('POST', '/api/pull', { body: '{"model":"new"}' }))
    const received = await arrival
    await client.until('200 OK')
    const leftMs = performance.now()
    leave(client)
    expect((await received.cut) - leftMs).toBeLessThan(abortedWithinMs)
    client.destroy()
    await gateway.assertHealthy()
  })
})

test('100 clients that leave at random moments leak nothing', async () => {
  const { port, assertHealthy } = await start((_incoming, outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' })
    const drip = setInterval(() => outgoing.write(chatLine('drip')), 5)
    outgoing.on('close', () => clearInterval(drip))
  })
  await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const client = await RawClient.open(port)
      client.send(requestBytes('POST', '/api/chat', { body: hold }))
      await new Promise((resolve) => {
        setTimeout(resolve, (index * 7) % 60)
      })
      client.destroy()
    }),
  )
  await assertHealthy()
})

test('B20: a client that pipelines and leaves runs nothing after it left', async () => {
  const { port, node, assertHealthy } = await start(() => undefined)
  const client = await RawClient.open(port)
  const arrival = node.arrival()
  client.send(requestBytes('POST', '/api/chat', { body: hold }))
  client.send(requestBytes('POST', '/api/chat', { body: goodChat }))
  const received = await arrival
  client.socket.resetAndDestroy()
  await received.cut
  await assertHealthy()
})

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
