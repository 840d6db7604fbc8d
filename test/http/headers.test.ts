/** Request headers: floods, doubles, spoofed identities, and what a node gets to see. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { type Gateway, goodChat, requestBytes, startGateway } from './gateway.ts'
import { exchange, RawClient } from './raw-client.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway()
})
afterAll(() => gateway.close())

const dialects = [
  ['/api/chat', (body: string) => typeof JSON.parse(body).error === 'string'],
  ['/v1/chat/completions', (body: string) => typeof JSON.parse(body).error.message === 'string'],
  ['/v1/messages', (body: string) => JSON.parse(body).type === 'error' && typeof JSON.parse(body).error.message === 'string'],
] as const

describe('hosts', () => {
  test.each([
    ['B8: two Host headers', ['Host: localhost'], 400],
    ['B8: two Host headers in other spelling', ['hOsT: evil'], 400],
  ] as const)('%s are refused', async (_, headers, status) => {
    const answer = await gateway.ask('GET', '/api/version', { headers })
    expect(answer.status).toBe(status)
    expect(answer.headers['connection']).toBe('close')
    await gateway.assertHealthy()
  })

  test('B9: HTTP/1.1 without Host is refused', async () => {
    expect((await exchange(gateway.port, 'GET /api/version HTTP/1.1\r\n\r\n')).status).toBe(400)
    await gateway.assertHealthy()
  })

  test.each([
    'a/b?c@d',
    'x#',
    'x?',
    'localhost@evil.example',
    'localhost:80:90',
    '[::1',
    'user:pw@localhost',
    'local host',
    'evil.example',
  ])('B10: Host %s is refused on a loopback listener', async (host) => {
    const answer = await gateway.ask('GET', '/api/version', { host })
    expect([400, 403]).toContain(answer.status)
    await gateway.assertHealthy()
  })

  test('T033: a foreign Host gets a bare 403', async () => {
    const answer = await gateway.ask('GET', '/api/version', { host: 'gateway.example.com' })
    expect([answer.status, answer.headers['content-length'], answer.body]).toEqual([403, '0', ''])
  })

  test.each(['localhost', 'localhost:11435', 'LOCALHOST.', '127.0.0.1:1', '[::1]:80', 'gw.internal:8080', '192.168.7.7:11434', ''])(
    'T034, T035: Host %s is served',
    async (host) => {
      expect((await gateway.ask('GET', '/api/version', { host })).status).toBe(200)
    },
  )
})

describe('hosts on a public listener', () => {
  let open: Gateway
  beforeAll(async () => {
    open = await startGateway({ http: { host: '0.0.0.0', insecureNoAuth: true } })
  })
  afterAll(() => open.close())

  test.each(['a/b?c@d', 'x#', 'x?', 'user:pw@host', 'local host', 'a\\b', '"x"', 'a,b'])('B10: Host %s is refused', async (host) => {
    expect((await open.ask('GET', '/api/version', { host })).status).toBe(400)
    await open.assertHealthy()
  })

  test.each(['gateway.example.com', 'xn--bcher-kva.example:8080', '[2001:db8::1]:80', 'under_score.example'])(
    'Host %s is served',
    async (host) => {
      expect((await open.ask('GET', '/api/version', { host })).status).toBe(200)
    },
  )
})

describe('floods', () => {
  test('B15, T036: a header of 17 KB gets 431', async () => {
    const answer = await gateway.ask('GET', '/api/version', { headers: [`X-Pad: ${'a'.repeat(17_000)}`] })
    expect(answer.status).toBe(431)
    expect(answer.headers['connection']).toBe('close')
    await gateway.assertHealthy()
  })

  test('a request line of 17 KB gets 431', async () => {
    expect((await gateway.ask('GET', `/api/tags?${'a'.repeat(17_000)}`)).status).toBe(431)
    await gateway.assertHealthy()
  })

  test('B15: 2,500 short headers get 431, none is silently dropped', async () => {
    const headers = Array.from({ length: 2_500 }, () => 'a:b')
    const answer = await gateway.ask('GET', '/api/version', { headers })
    expect(answer.status).toBe(431)
    await gateway.assertHealthy()
  })

  test('a header section that never ends is cut at the limit', async () => {
    const client = await RawClient.open(gateway.port)
    client.send('GET /api/version HTTP/1.1\r\nHost: localhost\r\n')
    for (let index = 0; index < 40; index += 1) client.send(`X-${index}: ${'a'.repeat(1_000)}\r\n`)
    expect((await client.answer()).status).toBe(431)
    await client.closed
    client.destroy()
    await gateway.assertHealthy()
  })
})

describe('what a node sees', () => {
  test('B19, B54: credentials, forwarding and hop headers stay here; __proto__ is harmless', async () => {
    const headers = [
      '__proto__: polluted',
      'constructor: x',
      'Authorization: Bearer sk-secret',
      'X-Api-Key: secret',
      'Cookie: a=b',
      'X-Forwarded-For: 1.2.3.4',
      'X-Real-IP: 1.2.3.4',
      'Forwarded: for=1.2.3.4',
      'Connection: keep-alive, X-Secret',
      'X-Secret: listed in Connection',
      'TE: trailers',
      'X-Plain: kept',
      'Content-Type: application/json',
    ]
    const answer = await gateway.ask('POST', '/api/chat', { headers, body: goodChat })
    expect(answer.status).toBe(200)
    const seen = gateway.node.received.at(-1)?.headers ?? {}
    for (const name of ['authorization', 'x-api-key', 'cookie', 'x-forwarded-for', 'x-real-ip', 'forwarded', 'x-secret', 'te']) {
      expect(Object.hasOwn(seen, name), name).toBe(false)
    }
    expect(seen['x-plain']).toBe('kept')
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    await gateway.assertHealthy()
  })

  test.each([
    ['10 KB', 'a'.repeat(10_000)],
    ['control characters', 'a\x1fb'],
    ['an escape sequence', '\x1b[31m'],
    ['plain text', 'mine'],
  ])('B55: X-Request-Id with %s is replaced by ours', async (_, value) => {
    const answer = await gateway.ask('POST', '/api/chat', { headers: [`X-Request-Id: ${value}`], body: goodChat })
    if (answer.status === 400) return
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-z]{26}$/)
    expect(gateway.node.received.at(-1)?.headers['x-request-id']).toBe(answer.headers['x-request-id'])
  })

  test.each([
    ['none at all', 'Authorization:'],
    ['a tab inside', 'Authorization: bearer\tsk-secret'],
    ['Basic', 'Authorization: Basic c2s6c2VjcmV0'],
    ['two of them', 'Authorization: Bearer sk-secret\r\nAuthorization: Bearer other'],
    ['a SQL quote and bytes beyond ASCII', "Authorization: Bearer sk-'; drop table keys --\xff"],
  ])('B24, B25: an Authorization with %s changes nothing while there is no authentication, and stays here', async (_, line) => {
    const answer = await gateway.ask('POST', '/api/chat', { headers: [line], body: goodChat })
    expect(answer.status).toBe(200)
    expect(gateway.node.received.at(-1)?.headers.authorization).toBeUndefined()
    await gateway.assertHealthy()
  })

  test('B24: an Authorization of 20 KB gets 431', async () => {
    const answer = await gateway.ask('POST', '/api/chat', { headers: [`Authorization: Bearer ${'a'.repeat(20_000)}`], body: goodChat })
    expect(answer.status).toBe(431)
    await gateway.assertHealthy()
  })

  test('a header value beyond ASCII goes through or is refused, and never blames the node', async () => {
    const answer = await gateway.ask('POST', '/api/chat', { headers: ['X-Name: J\xf6rg \xff\x80'], body: goodChat })
    expect([200, 400]).toContain(answer.status)
    await gateway.assertHealthy()
  })

  test('a broken traceparent is ignored', async () => {
    const answer = await gateway.ask('POST', '/api/chat', { headers: ['traceparent: 00-zz-zz-zz', 'tracestate: ,,,='], body: goodChat })
    expect(answer.status).toBe(200)
  })
})

describe('loops and credentials', () => {
  test.each(dialects)('a request with our own hop id on %s gets 508 in its dialect', async (path, isDialect) => {
    await gateway.ask('POST', '/api/chat', { body: goodChat })
    const hop = String(gateway.node.received.at(-1)?.headers['x-corral-hop'])
    for (const value of [hop, `other, ${hop}`]) {
      const answer = await gateway.ask('POST', path, { headers: [`x-corral-hop: ${value}`], body: goodChat })
      expect(answer.status).toBe(508)
      expect(isDialect(answer.body)).toBe(true)
    }
    await gateway.assertHealthy()
  })

  test('a ring of two Corrals ends with 508 at once', async () => {
    const second = await startGateway()
    const ring = await startGateway()
    await second.app.fleet.addNode({ url: `http://127.0.0.1:${ring.port}`, name: 'ring', headers: {} })
    await ring.app.fleet.addNode({ url: `http://127.0.0.1:${second.port}`, name: 'second', headers: {} })
    second.app.fleet.removeNode('n1')
    ring.app.fleet.removeNode('n1')
    const startMs = performance.now()
    const answer = await ring.ask('POST', '/api/chat', { body: goodChat })
    expect(answer.status).toBe(508)
    expect(performance.now() - startMs).toBeLessThan(2_000)
    await Promise.all([ring.close(), second.close()])
    await gateway.assertHealthy()
  })

  test('a request from another Corral passes, with the ids of all before it', async () => {
    const answer = await gateway.ask('POST', '/api/chat', {
      headers: [`x-corral-hop: second`, 'x-corral-past-hops: first'],
      body: goodChat,
    })
    expect(answer.status).toBe(200)
    expect(gateway.node.received.at(-1)?.headers['x-corral-past-hops']).toBe('first, second')
  })

  test.each(dialects)('B23: a credential in the query of %s gets 400 and its value is not repeated', async (path, isDialect) => {
    for (const query of ['api_key=sk-123', 'a=b&access_token=sk-123', 'TOKEN=sk-123', 'api%5Fkey=sk-123', 'key=sk-123']) {
      const before = gateway.node.received.length
      const answer = await gateway.ask('POST', `${path}?${query}`, { body: goodChat })
      expect(answer.status, query).toBe(400)
      expect(isDialect(answer.body)).toBe(true)
      expect(answer.body).not.toContain('sk-123')
      expect(gateway.node.received.length).toBe(before)
    }
    await gateway.assertHealthy()
  })

  test('an unknown dialect of errors: /admin answers with a problem document', async () => {
    const answer = await gateway.ask('GET', '/admin/fleet?token=x')
    expect(answer.status).toBe(400)
    expect(answer.headers['content-type']).toBe('application/problem+json')
  })

  test.each(['200-ok', '100-continue, x', ''])('B17: Expect: %s', async (value) => {
    const bytes = requestBytes('POST', '/api/chat', { headers: [`Expect: ${value}`], body: goodChat })
    const answer = await exchange(gateway.port, bytes)
    expect(value === '' ? [200, 417] : [417]).toContain(answer.status)
    await gateway.assertHealthy()
  })
})
