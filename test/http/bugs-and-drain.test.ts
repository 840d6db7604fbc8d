/** A bug in a handler costs one request, never the process; a shutdown cuts no stream without a word. */
import { afterEach, describe, expect, test } from 'vitest'

import { chatEnd, chatLine } from './fake-node.ts'
import { type Gateway, goodChat, requestBytes, startGateway } from './gateway.ts'
import { RawClient } from './raw-client.ts'

let gateway: Gateway | null = null
afterEach(async () => {
  await gateway?.close()
  gateway = null
})

const routes = ['/api/chat', '/v1/chat/completions', '/v1/messages'] as const

describe('a bug', () => {
  test.each(routes)('below %s is a 500 in the dialect that tells nothing of it', async (path) => {
    gateway = await startGateway()
    const { fleet } = gateway.app
    const { relay } = fleet
    const broken = new Error('secret detail at /srv/corral/src/fleet/x.ts:1')
    Object.defineProperty(fleet.catalogue, 'resolve', {
      configurable: true,
      value: () => {
        throw broken
      },
    })
    const answer = await gateway.ask('POST', path, { body: goodChat })
    expect(answer.status).toBe(500)
    expect(answer.body).toContain('internal error')
    expect(answer.body).not.toContain('secret')
    Reflect.deleteProperty(fleet.catalogue, 'resolve')
    expect(fleet.relay).toBe(relay)
    await gateway.assertHealthy()
  })

  test('before a request has begun is a bare 500, and the process lives', async () => {
    gateway = await startGateway()
    const { calls } = gateway.app
    Object.defineProperty(calls, 'add', {
      configurable: true,
      value: () => {
        throw new Error('secret detail')
      },
    })
    for (const path of routes) {
      const answer = await gateway.ask('POST', path, { body: goodChat })
      expect([answer.status, answer.body]).toEqual([500, ''])
    }
    Reflect.deleteProperty(calls, 'add')
    await gateway.assertHealthy()
  })

  test('in an operator route is a 500 that tells nothing of it', async () => {
    gateway = await startGateway()
    const { calls } = gateway.app
    Object.defineProperty(calls, 'list', {
      configurable: true,
      value: () => {
        throw new TypeError('secret detail')
      },
    })
    const answer = await gateway.ask('GET', '/admin/requests')
    expect(answer.status).toBe(500)
    expect(answer.body).not.toContain('secret')
    Reflect.deleteProperty(calls, 'list')
    await gateway.assertHealthy()
  })

  test('in the middle of a stream ends it with an error frame or a cut, and the process lives', async () => {
    gateway = await startGateway()
    const usual = gateway.node.script
    gateway.node.script = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' }).write(chatLine('one'))
      setTimeout(() => outgoing.destroy(), 20)
    }
    const client = await RawClient.open(gateway.port)
    client.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    const answer = await client.answer()
    expect(answer.body.split('\n').at(-2)).toContain('"error"')
    gateway.node.script = usual
    client.destroy()
    await gateway.assertHealthy()
  })
})

describe('a route that Corral does not know', () => {
  test('whose answer breaks off breaks the connection, so that nobody takes it for complete', async () => {
    gateway = await startGateway()
    const usual = gateway.node.script
    let breakOff = (): void => undefined
    gateway.node.script = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/octet-stream' }).write('part one')
      breakOff = () => void outgoing.destroy()
    }
    const client = await RawClient.open(gateway.port)
    client.send(requestBytes('POST', '/api/future', { body: goodChat }))
    await client.until('part one')
    breakOff()
    await client.closed
    expect(client.text).not.toContain('0\r\n\r\n')
    gateway.node.script = usual
    client.destroy()
    await gateway.assertHealthy()
  })

  test('whose call an operator ends breaks the connection too', async () => {
    gateway = await startGateway()
    const usual = gateway.node.script
    gateway.node.script = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/octet-stream' }).write('part one')
    }
    const client = await RawClient.open(gateway.port)
    client.send(requestBytes('POST', '/v1/future', { body: goodChat }))
    await client.until('part one')
    const id = gateway.app.calls.list()[0]?.call.id ?? ''
    expect((await gateway.ask('DELETE', `/admin/requests/${id}`)).status).toBe(204)
    await client.closed
    expect(client.text).not.toContain('0\r\n\r\n')
    gateway.node.script = usual
    client.destroy()
    await gateway.assertHealthy()
  })
})

describe('shutdown', () => {
  test('F50: a stream that ends within the grace is whole, and its connection is closed', async () => {
    gateway = await startGateway()
    let end = (): void => undefined
    gateway.node.script = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' }).write(chatLine('one'))
      end = () => void outgoing.end(chatEnd)
    }
    const client = await RawClient.open(gateway.port)
    client.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    await client.until('one')
    const closed = gateway.app.close(5_000)
    end()
    expect((await client.answer()).body).toContain('"done":true')
    await client.closed
    await closed
  })

  test.each([
    ['/api/chat', '{"error":"'],
    ['/v1/chat/completions', 'data: {"error":'],
    ['/v1/messages', 'event: error\n'],
  ])('F50: a stream of %s beyond the grace ends with an error in its dialect', async (path, shape) => {
    gateway = await startGateway()
    gateway.node.script = (_incoming, outgoing) => {
      const native = path === '/api/chat'
      outgoing.writeHead(200, { 'content-type': native ? 'application/x-ndjson' : 'text/event-stream' })
      outgoing.write(native ? chatLine('one') : 'data: {"one":1}\n\n')
    }
    const client = await RawClient.open(gateway.port)
    client.send(requestBytes('POST', path, { body: goodChat.replace('{', '{"stream":true,') }))
    await client.until('one')
    const closed = gateway.app.close(50)
    const answer = await client.answer()
    expect(answer.body).toContain(shape)
    expect(answer.body).toContain('shutting down')
    await closed
  })

  test('F50: a request that waits for its head gets 503 in its dialect', async () => {
    gateway = await startGateway()
    const arrival = gateway.node.arrival()
    gateway.node.script = () => undefined
    const client = await RawClient.open(gateway.port)
    client.send(requestBytes('POST', '/v1/messages', { body: goodChat }))
    await arrival
    const closed = gateway.app.close(50)
    const answer = await client.answer()
    expect(answer.status).toBe(503)
    expect(JSON.parse(answer.body).error.type).toBe('overloaded_error')
    await closed
  })

  test('F50: readiness says no at once; new connections are served with Connection: close for drainDelayMs, then refused', async () => {
    const drainDelayMs = 400
    gateway = await startGateway({ http: { drainDelayMs } })
    const { port, app } = gateway
    const kept = await RawClient.open(port)
    kept.send(requestBytes('GET', '/livez'))
    expect((await kept.answer()).headers['connection']).toBe('keep-alive')
    const startMs = performance.now()
    const closed = app.close(5_000)
    const ready = await gateway.ask('GET', '/readyz')
    expect([ready.status, ready.headers['connection'], ready.body]).toEqual([503, 'close', expect.stringContaining('shutting down')])
    const chat = await gateway.ask('POST', '/api/chat', { body: goodChat })
    expect([chat.status, chat.headers['connection']]).toEqual([200, 'close'])
    expect(chat.body).toContain('"done":true')
    kept.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    expect((await kept.answer()).headers['connection']).toBe('close')
    await kept.closed
    await closed
    const tookMs = performance.now() - startMs
    expect(tookMs).toBeGreaterThanOrEqual(drainDelayMs - 5)
    expect(tookMs).toBeLessThan(drainDelayMs + 1_000)
    await expect(RawClient.open(port)).rejects.toThrow('ECONNREFUSED')
  })

  test('F50: the grace of a stream begins after drainDelayMs', async () => {
    gateway = await startGateway({ http: { drainDelayMs: 300 } })
    gateway.node.script = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' }).write(chatLine('one'))
    }
    const client = await RawClient.open(gateway.port)
    client.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    await client.until('one')
    const startMs = performance.now()
    const closed = gateway.app.close(200)
    expect((await client.answer()).body).toContain('shutting down')
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(490)
    await closed
  })

  test('F51: connections that sent nothing, or half a head, do not hold the process', async () => {
    gateway = await startGateway()
    const idle = await RawClient.open(gateway.port)
    const half = await RawClient.open(gateway.port)
    half.send('POST /api/chat HTTP/1.1\r\nHos')
    const startMs = performance.now()
    await gateway.app.close(100)
    expect(performance.now() - startMs).toBeLessThan(1_500)
    await Promise.all([idle.closed, half.closed])
  })

  test('requests pipelined behind a running one: at most one more is run while draining', async () => {
    gateway = await startGateway()
    const usual = gateway.node.script
    let end = (): void => undefined
    gateway.node.script = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' }).write(chatLine('one'))
      end = () => void outgoing.end(chatEnd)
    }
    const { node } = gateway
    const client = await RawClient.open(gateway.port)
    client.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    await client.until('one')
    const closed = gateway.app.close(2_000)
    node.script = usual
    client.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    client.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    end()
    expect((await client.answer()).body).toContain('"done":true')
    await client.closed
    await closed
    expect(node.received.length).toBeLessThanOrEqual(2)
  })

  test('an operator who cancels a request leaves its client with an error frame', async () => {
    gateway = await startGateway()
    const usual = gateway.node.script
    gateway.node.script = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' }).write(chatLine('one'))
    }
    const client = await RawClient.open(gateway.port)
    client.send(requestBytes('POST', '/api/chat', { body: goodChat }))
    await client.until('one')
    const id = gateway.app.calls.list()[0]?.call.id ?? ''
    const cut = gateway.node.received[0]?.cut
    expect((await gateway.ask('DELETE', `/admin/requests/${id}`)).status).toBe(204)
    expect((await client.answer()).body).toContain('cancelled by an operator')
    await cut
    gateway.node.script = usual
    client.destroy()
    await gateway.assertHealthy()
  })
})
