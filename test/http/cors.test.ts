/** Origin and Host as recorded from Ollama: who may ask, and what a browser is told. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { type Gateway, goodChat, startGateway } from './gateway.ts'

let gateway: Gateway
let open: Gateway
let listed: Gateway
beforeAll(async () => {
  gateway = await startGateway()
  open = await startGateway({ http: { origins: ['*'] } })
  listed = await startGateway({ http: { origins: ['https://*.example.com', 'app.example.net:*'], hosts: ['gateway.example.com'] } })
})
afterAll(() => Promise.all([gateway.close(), open.close(), listed.close()]))

const preflight = (origin: string): string[] => [
  `Origin: ${origin}`,
  'Access-Control-Request-Method: POST',
  'Access-Control-Request-Headers: content-type, x-api-key',
]
const allowOrigin = 'access-control-allow-origin'

describe('preflight', () => {
  test.each([
    'https://localhost:1',
    'http://localhost:3000',
    'https://127.0.0.1:8443',
    'app://obsidian.md',
    'vscode-webview://abc',
    'tauri://x',
    'file://',
  ])('T327: %s gets 204 and no node hears of it', async (origin) => {
    const before = gateway.node.received.length
    const answer = await gateway.ask('OPTIONS', '/api/chat', { headers: preflight(origin) })
    expect(answer.status).toBe(204)
    expect(answer.headers[allowOrigin]).toBe(origin)
    expect(answer.headers['access-control-allow-methods']).toContain('DELETE')
    expect(answer.headers['vary']).toContain('Origin')
    expect(answer.headers['content-length']).toBeUndefined()
    expect(gateway.node.received.length).toBe(before)
  })

  test.each([
    'https://evil.example',
    'http://localhost.evil.example',
    'http://localhost@evil.example',
    'null',
    'http://127.0.0.1.evil.example',
    'chrome-extension://abc',
    'http://localhost:99999999',
    'https://a, http://localhost',
    '',
  ])('T328: "%s" gets a bare 403', async (origin) => {
    const answer = await gateway.ask('OPTIONS', '/api/chat', { headers: preflight(origin) })
    expect([answer.status, answer.body]).toEqual([403, ''])
    expect(answer.headers[allowOrigin]).toBeUndefined()
  })

  test('T329: of an unknown path is answered too', async () => {
    expect((await gateway.ask('OPTIONS', '/nope', { headers: preflight('http://localhost:3000') })).status).toBe(204)
  })

  test('T330: allows the headers of the Anthropic SDK', async () => {
    const answer = await gateway.ask('OPTIONS', '/v1/messages', { headers: preflight('http://localhost:3000') })
    expect(answer.headers['access-control-allow-headers']?.toLowerCase()).toContain('anthropic-version')
  })

  test('T339: with origins * says * and varies on nothing', async () => {
    const answer = await open.ask('OPTIONS', '/api/chat', { headers: preflight('https://evil.example') })
    expect([answer.status, answer.headers[allowOrigin], answer.headers['vary']]).toEqual([204, '*', undefined])
  })

  test('never allows credentials', async () => {
    for (const one of [gateway, open]) {
      const answer = await one.ask('OPTIONS', '/api/chat', { headers: preflight('http://localhost:3000') })
      expect(answer.headers['access-control-allow-credentials']).toBeUndefined()
    }
  })

  test.each([
    ['https://a.example.com', 204],
    ['https://example.com.evil.net', 403],
    ['https://a.example.com.evil.net', 403],
    ['http://a.example.com', 403],
    ['http://app.example.net:8080', 204],
    ['https://app.example.net:8080', 204],
    ['https://xapp.example.net:8080', 403],
  ])('of a configured origin: %s gets %d', async (origin, status) => {
    expect((await listed.ask('OPTIONS', '/api/chat', { headers: preflight(origin) })).status).toBe(status)
  })
})

describe('plain requests', () => {
  test('T331, T337: of an allowed origin carry the header, streams too', async () => {
    for (const [method, path, body] of [
      ['GET', '/api/tags', undefined],
      ['POST', '/api/chat', goodChat],
    ] as const) {
      const answer = await gateway.ask(method, path, {
        headers: ['Origin: http://localhost:3000'],
        ...(body === undefined ? {} : { body }),
      })
      expect([answer.status, answer.headers[allowOrigin], answer.headers['vary']]).toEqual([200, 'http://localhost:3000', 'Origin'])
    }
  })

  test.each(['https://evil.example', 'null'])('T332, T333: of %s get a bare 403 and reach no node', async (origin) => {
    const before = gateway.node.received.length
    for (const path of ['/api/chat', '/v1/chat/completions', '/v1/messages']) {
      const answer = await gateway.ask('POST', path, { headers: [`Origin: ${origin}`], body: goodChat })
      expect([answer.status, answer.headers['content-length'], answer.headers[allowOrigin]]).toEqual([403, '0', undefined])
    }
    expect(gateway.node.received.length).toBe(before)
    await gateway.assertHealthy()
  })

  test('T334: of the same origin pass without a header', async () => {
    const answer = await gateway.ask('GET', '/api/tags', { host: 'localhost:11435', headers: ['Origin: http://localhost:11435'] })
    expect([answer.status, answer.headers[allowOrigin]]).toEqual([200, undefined])
  })

  test('T338: an error carries the header, so that a page can read it', async () => {
    for (const [method, path, status] of [
      ['GET', '/api/chat', 405],
      ['GET', '/api/%74ags', 404],
      ['POST', '/api/chat', 400],
    ] as const) {
      const options = method === 'POST' ? { body: '{"model":"small","MODEL":"x"}' } : {}
      const answer = await gateway.ask(method, path, { headers: ['Origin: http://localhost:3000'], ...options })
      expect([answer.status, answer.headers[allowOrigin]]).toEqual([status, 'http://localhost:3000'])
    }
  })

  test('T340: with origins * get *', async () => {
    const answer = await open.ask('GET', '/api/tags', { headers: ['Origin: https://evil.example'] })
    expect([answer.status, answer.headers[allowOrigin]]).toEqual([200, '*'])
  })

  test("a node's own CORS headers never reach a client", async () => {
    const usual = gateway.node.script
    gateway.node.script = (_incoming, outgoing) => {
      outgoing
        .writeHead(200, {
          'content-type': 'application/json',
          [allowOrigin]: '*',
          'access-control-allow-credentials': 'true',
          'content-length': '2',
        })
        .end('{}')
    }
    const answer = await gateway.ask('POST', '/api/chat', { body: '{"model":"small","stream":false}' })
    gateway.node.script = usual
    expect(answer.headers[allowOrigin]).toBeUndefined()
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined()
  })
})

describe('Host on loopback', () => {
  test('a configured host is served, any case, any port', async () => {
    for (const host of ['gateway.example.com', 'GATEWAY.example.com:11435', 'gateway.example.com.']) {
      expect((await listed.ask('GET', '/api/version', { host })).status, host).toBe(200)
    }
    expect((await listed.ask('GET', '/api/version', { host: 'xgateway.example.com' })).status).toBe(403)
  })

  test.each(['/api/version', '/v1/models', '/admin/fleet', '/metrics', '/healthz', '/'])(
    'DNS rebinding: %s is refused under a foreign name',
    async (path) => {
      expect((await gateway.ask('GET', path, { host: 'rebind.evil.example' })).status).toBe(403)
    },
  )

  test('B69: a change by a foreign page is refused on /admin', async () => {
    const before = gateway.app.fleet.nodes.length
    for (const headers of [['Origin: https://evil.example'], ['Origin: http://localhost:9', 'Content-Type: text/plain']]) {
      const answer = await gateway.ask('POST', '/admin/nodes', { headers, body: '{"url":"http://127.0.0.1:9"}' })
      expect(answer.status).toBe(403)
    }
    expect(gateway.app.fleet.nodes.length).toBe(before)
  })
})
