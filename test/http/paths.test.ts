/** Request targets: what a path means must not depend on who decodes it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { type Gateway, requestBytes, startGateway } from './gateway.ts'
import { exchange, RawClient } from './raw-client.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway()
  // A node of another version knows no route but these.
  gateway.node.script = (incoming, outgoing) => {
    const known = incoming.url?.startsWith('/api/chat') === true
    outgoing.writeHead(known ? 200 : 404, { 'content-type': known ? 'application/x-ndjson' : 'text/plain' })
    outgoing.end(known ? '{"model":"small","done":true}\n' : '404 page not found')
  }
})
afterAll(() => gateway.close())

const remove = '{"model":"small"}'

describe('encoded and odd paths', () => {
  const refused: readonly (readonly [string, string, string, readonly number[]])[] = [
    ['B21: encoded dot segments', 'DELETE', '/v1/%2e%2e/api/delete', [404]],
    ['B21: encoded dot segments in capitals', 'DELETE', '/v1/%2E%2E/api/delete', [404]],
    ['B21: an encoded letter of a route', 'DELETE', '/api/%64elete', [404]],
    ['B21: dot segments after a parameter prefix', 'DELETE', '/v1/models/%2e%2e%2f%2e%2e%2fapi%2fdelete', [404]],
    ['B21: double encoding below a parameter', 'GET', '/v1/models/%252e%252e', [404]],
    ['B21: double encoding of a slash', 'GET', '/v1/models/%252e%252e%252fapi', [404]],
    ['B21: double encoding in a route', 'DELETE', '/api/%2564elete', [404]],
    ['B22: capitals', 'DELETE', '/API/DELETE', [404]],
    ['B22: a path parameter', 'DELETE', '/api/delete;x=1', [404]],
    ['B22: an encoded NUL', 'GET', '/v1/models/a%00b', [404]],
    ['B22: an encoded NUL in a route', 'GET', '/api/tags%00', [404]],
    ['B22: an encoded slash in a route', 'GET', '/api%2ftags', [404]],
    ['B22: a malformed escape', 'GET', '/api/tags%zz', [404]],
    ['B22: a malformed escape below a parameter', 'GET', '/v1/models/%zz', [404]],
    ['B22: an escape that is no UTF-8', 'GET', '/v1/models/%ff%fe', [404]],
    ['T058: an encoded slash in a model name', 'GET', '/v1/models/library%2Fsmall', [404]],
    ['T057: a slash in a model name', 'GET', '/v1/models/library/small', [404]],
    ['an encoded backslash', 'GET', '/v1/models/..%5c..%5capi', [404]],
    ['a backslash', 'DELETE', '/v1\\..\\api\\delete', [400]],
    ['a backslash before a route', 'GET', '/\\evil.example/api/tags', [400]],
    ['a fragment', 'GET', '/api/tags#x', [400]],
    ['a byte beyond ASCII', 'GET', '/api/t\xe4gs', [400]],
    ['angle brackets', 'GET', '/api/<script>', [404]],
    ['a double quote', 'GET', '/api/"', [404]],
    ['T006: an unknown path', 'GET', '/nope', [404]],
    ['a debug path of Go', 'GET', '/debug/pprof/', [404]],
    ['B11: an absolute target of a foreign host', 'DELETE', 'http://evil/api/delete', [400]],
    ['B11: an absolute target of our own host', 'GET', 'http://localhost/api/version', [400]],
    ['an authority as target', 'GET', 'localhost:80', [400]],
    ['an asterisk as target', 'OPTIONS', '*', [400]],
  ]
  test.each(refused)('%s: never reaches a route of a node', async (_, method, target, statuses) => {
    const before = gateway.node.received.length
    const answer = await gateway.ask(method, target, method === 'DELETE' ? { body: remove } : {})
    expect(statuses).toContain(answer.status)
    const reached = gateway.node.received.slice(before).map((received) => `${received.method} ${received.url}`)
    expect(reached.filter((line) => line.startsWith('DELETE /api/delete') && !line.includes(';'))).toEqual([])
    expect(reached.filter((line) => /\.\.|\0/.test(decodeURIComponent(line)))).toEqual([])
    await gateway.assertHealthy()
  })

  const redirected: readonly (readonly [string, string, string, number, string])[] = [
    ['T024: a trailing slash', 'GET', '/api/tags/', 301, '/api/tags'],
    ['T025: a trailing slash with a body', 'POST', '/api/chat/', 307, '/api/chat'],
    ['T027: a doubled slash', 'GET', '//api/tags', 307, '/api/tags'],
    ['T028: a dot segment', 'GET', '/api/./tags', 307, '/api/tags'],
    ['B21: dot segments that leave a prefix', 'DELETE', '/v1/../api/delete', 307, '/api/delete'],
    ['B22: doubled slashes everywhere', 'DELETE', '//api//delete', 307, '/api/delete'],
    ['dot segments above the root', 'GET', '/../../../etc/passwd', 307, '/etc/passwd'],
    ['a slash with a query', 'GET', '/api/tags/?a=b', 301, '/api/tags?a=b'],
  ]
  test.each(redirected)('%s is redirected as Ollama does', async (_, method, target, status, location) => {
    const before = gateway.node.received.length
    const answer = await gateway.ask(method, target, method === 'GET' ? {} : { body: remove })
    expect(answer.status).toBe(status)
    expect(answer.headers['location']).toBe(location)
    expect(gateway.node.received.length).toBe(before)
    await gateway.assertHealthy()
  })

  test('a redirect never leads to another host', async () => {
    for (const target of ['//evil.example/', '///evil.example/', '/.//evil.example', '/..//evil.example//']) {
      const { status, headers } = await gateway.ask('GET', target)
      expect([301, 307]).toContain(status)
      expect(headers['location']).toMatch(/^\/[^/\\]/)
    }
  })

  test('T026: X-Forwarded-Prefix of a client is not believed', async () => {
    const answer = await gateway.ask('GET', '/api/tags/', { headers: ['X-Forwarded-Prefix: /evil'] })
    expect(answer.headers['location']).toBe('/api/tags')
  })

  test('B41: the body of a redirected request is bounded, not read for ever', async () => {
    const client = await RawClient.open(gateway.port)
    client.send(`POST /api/chat/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${1024 ** 3}\r\n\r\n`)
    expect((await client.answer()).status).toBe(307)
    client.send(Buffer.alloc(4 * 1_048_576))
    await client.closed
    client.destroy()
    await gateway.assertHealthy()
  })
})

describe("bodies on Corral's own paths", () => {
  const own = [
    ['POST', '/livez', 404],
    ['POST', '/nowhere', 404],
    ['DELETE', '/admin/nodes/n9', 404],
    ['POST', '/admin/nodes', 413],
  ] as const

  test.each(own)('B41: one of a declared gigabyte on %s %s gets 413 and is not taken in', async (method, path) => {
    const client = await RawClient.open(gateway.port)
    client.send(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${1024 ** 3}\r\n\r\n`)
    client.send(Buffer.alloc(64 * 1_048_576))
    expect((await client.answer()).status).toBe(413)
    await client.closed
    expect(client.socket.bytesWritten - client.socket.writableLength).toBeLessThan(32 * 1_048_576)
    client.destroy()
    await gateway.assertHealthy()
  })

  test.each(own)('B41: one without an end on %s %s is cut with the answer', async (method, path, status) => {
    const client = await RawClient.open(gateway.port)
    const piece = `10000\r\n${' '.repeat(65_536)}\r\n`
    client.send(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${piece}${piece}`)
    const answer = await client.answer()
    expect([answer.status, answer.headers['connection']]).toEqual([status, 'close'])
    await client.closed
    client.destroy()
    await gateway.assertHealthy()
  })

  test('B41: a small one that nobody reads leaves the connection usable', async () => {
    const client = await RawClient.open(gateway.port)
    client.send(requestBytes('POST', '/livez', { body: 'x'.repeat(1_000) }))
    expect((await client.answer()).status).toBe(404)
    client.send(requestBytes('GET', '/livez'))
    expect((await client.answer()).status).toBe(200)
    client.destroy()
  })
})

describe('methods', () => {
  const cases: readonly (readonly [string, string, string, string])[] = [
    ['T016', 'GET', '/api/chat', 'POST'],
    ['T017', 'PUT', '/api/chat', 'POST'],
    ['T018', 'POST', '/api/tags', 'HEAD, GET'],
    ['T019', 'HEAD', '/api/ps', 'GET'],
    ['T020', 'GET', '/api/delete', 'DELETE'],
    ['T021', 'GET', `/api/blobs/sha256:${'0'.repeat(64)}`, 'HEAD, POST'],
    ['T022', 'GET', '/v1/chat/completions', 'POST'],
    ['T023', 'OPTIONS', '/api/chat', 'POST'],
    ['T059', 'HEAD', '/v1/models', 'GET'],
  ]
  test.each(cases)('%s: %s %s gets 405 with Allow', async (_, method, target, allow) => {
    const answer = await gateway.ask(method, target)
    expect(answer.status).toBe(405)
    expect(answer.headers['allow']).toBe(allow)
    expect(answer.headers['content-type']).toBe('text/plain')
    if (method !== 'HEAD') expect(answer.body).toBe('405 method not allowed')
    await gateway.assertHealthy()
  })

  test.each(['/', '/api/version', '/api/tags'])(
    'T002, T004, T040: HEAD %s is answered without a body, the connection stays',
    async (target) => {
      const client = await RawClient.open(gateway.port)
      for (let round = 0; round < 2; round += 1) {
        const answer = await client.send(requestBytes('HEAD', target)).answer({ head: true })
        expect(answer.status).toBe(200)
      }
      expect(client.text).toBe('')
      client.destroy()
    },
  )

  test.each(['TRACE', 'PROPFIND', 'LINK', 'SUBSCRIBE', 'PURGE'])('B13: %s is not implemented and the connection closed', async (method) => {
    const answer = await gateway.ask(method, '/api/tags')
    expect([400, 405, 501]).toContain(answer.status)
    expect(answer.headers['connection']).toBe('close')
    await gateway.assertHealthy()
  })

  test.each(['BREW', 'get', 'GETX'])('B13: the unknown method %s is refused by the parser', async (method) => {
    const answer = await gateway.ask(method, '/api/tags')
    expect(answer.status).toBe(400)
    await gateway.assertHealthy()
  })

  test('B13: CONNECT ends the connection without a tunnel', async () => {
    const client = await RawClient.open(gateway.port)
    client.send('CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n')
    await client.closed
    expect(client.text).not.toContain(' 200 ')
    client.destroy()
    await gateway.assertHealthy()
  })

  test('B69: a method override header changes nothing', async () => {
    const before = gateway.node.received.length
    const answer = await gateway.ask('POST', '/api/delete', {
      headers: ['X-HTTP-Method-Override: DELETE', 'X-HTTP-Method: DELETE'],
      body: remove,
    })
    expect(answer.status).toBe(405)
    expect(gateway.node.received.length).toBe(before)
  })
})

describe('protocol versions', () => {
  const good = requestBytes('GET', '/api/version').toString('latin1')
  test.each(['HTTP/1.2', 'HTTP/9.9', 'HTTP/2.0', 'HTTP/0.9', 'HTTP/01.1', 'HTTPS/1.1'])('B13: %s is refused', async (version) => {
    const answer = await exchange(gateway.port, good.replace('HTTP/1.1', version))
    expect([400, 505]).toContain(answer.status)
    await gateway.assertHealthy()
  })

  test('B13: the preface of HTTP/2 is refused', async () => {
    const client = await RawClient.open(gateway.port)
    client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    await client.closed
    expect(client.text).toMatch(/^(HTTP\/1\.1 400|$)/)
    client.destroy()
    await gateway.assertHealthy()
  })

  test('B12: HTTP/0.9 is refused', async () => {
    const client = await RawClient.open(gateway.port)
    client.send('GET /\r\n\r\n')
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 400/)
    client.destroy()
    await gateway.assertHealthy()
  })

  test('T031: HTTP/1.0 is answered and closed, with and without Host', async () => {
    for (const host of ['Host: localhost\r\n', '']) {
      const client = await RawClient.open(gateway.port)
      client.send(`GET /api/version HTTP/1.0\r\n${host}\r\n`)
      const answer = await client.answer()
      expect(answer.status).toBe(200)
      expect(answer.body).toBe('{"version":"0.33.0"}')
      await client.closed
      client.destroy()
    }
  })

  test('a stream over HTTP/1.0 is not chunked', async () => {
    const client = await RawClient.open(gateway.port)
    client.send(`POST /api/chat HTTP/1.0\r\nContent-Length: ${remove.length}\r\n\r\n${remove}`)
    await client.closed
    expect(client.text).not.toMatch(/transfer-encoding/i)
    expect(client.text).toContain('"done":true')
    client.destroy()
    await gateway.assertHealthy()
  })

  test.each(['h2c', 'websocket'])('B16: Upgrade: %s is not taken up', async (protocol) => {
    const headers = ['Connection: Upgrade, HTTP2-Settings', `Upgrade: ${protocol}`, 'HTTP2-Settings: AAMAAABkAAQAAP__']
    const answer = await gateway.ask('GET', '/api/version', { headers })
    expect([200, 400]).toContain(answer.status)
    await gateway.assertHealthy()
  })
})
