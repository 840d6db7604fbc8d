/** Origins and hosts as the recorded server treated them, and spellings that must not pass for local. */
import { describe, expect, it } from 'vitest'

import { decideCors, isHostAllowed } from '../../src/wire/cors.ts'
import { headerOf, type Transcript, transcripts } from './transcripts.ts'

const withOrigin = transcripts.filter(({ request }) => request.headers.origin !== undefined)

function decide({ request, server }: Transcript) {
  return decideCors({
    origin: request.headers.origin ?? '',
    host: request.headers.host ?? '127.0.0.1:21434',
    method: request.method,
    requestMethod: request.headers['access-control-request-method'] ?? null,
    allowed: server === 'no-models' ? ['*'] : [],
  })
}

describe('recorded origins', () => {
  for (const exchange of withOrigin) {
    const { name, response } = exchange
    it(`${name} (${response.status}) is decided alike`, () => {
      const decision = decide(exchange)
      const preflight = exchange.request.method === 'OPTIONS'
      expect(decision.kind).toBe(response.status === 403 ? 'refuse' : preflight ? 'preflight' : 'pass')
      if (decision.kind === 'refuse') return
      for (const header of ['access-control-allow-origin', 'access-control-allow-methods', 'access-control-max-age', 'vary']) {
        const sent = decision.headers[header]
        expect((Array.isArray(sent) ? sent.join(', ') : sent) ?? '', header).toBe(headerOf(exchange, header))
      }
      const allowed = String(decision.headers['access-control-allow-headers'] ?? '').split(',')
      for (const header of headerOf(exchange, 'access-control-allow-headers').split(',')) expect(allowed).toContain(header)
    })
  }

  it('number fourteen', () => {
    expect(withOrigin).toHaveLength(14)
  })
})

describe('allowed origins', () => {
  const pass = (origin: string, allowed: readonly string[] = []): boolean =>
    decideCors({ origin, host: 'gw:11434', method: 'GET', requestMethod: null, allowed }).kind === 'pass'
  const cases: readonly (readonly [string, readonly string[], boolean])[] = [
    ['http://localhost', [], true],
    ['https://localhost:8443', [], true],
    ['http://127.0.0.1:3000', [], true],
    ['http://0.0.0.0', [], true],
    ['tauri://localhost', [], true],
    ['http://gw:11434', [], true],
    ['http://gw:11435', [], false],
    ['null', [], false],
    ['', [], false],
    ['http://localhost.evil.example', [], false],
    ['http://localhost:3000.evil.example', [], false],
    ['http://evil.example/localhost', [], false],
    ['http://localhost@evil.example', [], false],
    ['http://127.0.0.1.evil.example', [], false],
    ['ftp://localhost', [], false],
    ['https://app.example.org', ['https://app.example.org'], true],
    ['http://app.example.org', ['https://app.example.org'], false],
    ['http://app.example.org', ['app.example.org'], true],
    ['https://app.example.org', ['app.example.org'], true],
    ['https://app.example.org.evil.example', ['app.example.org'], false],
    ['https://a.example.org', ['https://*.example.org'], true],
    ['https://example.org', ['https://*.example.org'], false],
    ['https://aexample.org', ['https://*.example.org'], false],
    ['http://x.test:8080', ['http://x.test:*'], true],
    ['https://any.example', ['*'], true],
    ['https://any.example', [''], false],
    ['https://any.example', [' https://any.example '], true],
    ['moz-extension://abc', ['moz-extension://*'], true],
  ]
  for (const [origin, allowed, expected] of cases) {
    it(`${origin} with [${allowed.join(' ')}] ${expected ? 'passes' : 'is refused'}`, () => {
      expect(pass(origin, allowed)).toBe(expected)
    })
  }

  it('OPTIONS without a requested method is no preflight', () => {
    expect(decideCors({ origin: 'http://localhost', host: 'gw', method: 'OPTIONS', requestMethod: null, allowed: [] }).kind).toBe('pass')
  })

  it('headers of both official SDKs pass a preflight', () => {
    const decision = decideCors({ origin: 'http://localhost', host: 'gw', method: 'OPTIONS', requestMethod: 'POST', allowed: [] })
    const allowed = decision.kind === 'preflight' ? String(decision.headers['access-control-allow-headers']).toLowerCase().split(',') : []
    const needed = [
      'authorization',
      'content-type',
      'x-api-key',
      'anthropic-version',
      'anthropic-beta',
      'anthropic-dangerous-direct-browser-access',
      'x-stainless-os',
      'x-stainless-retry-count',
      'x-stainless-timeout',
      'x-request-id',
    ]
    for (const header of needed) expect(allowed).toContain(header)
  })
})

describe('hosts of a loopback listener', () => {
  const local = [
    'localhost',
    'localhost:11434',
    'LOCALHOST.',
    '127.0.0.1:1',
    '127.8.8.8',
    '10.1.2.3',
    '192.168.0.5:80',
    '172.16.0.1',
    '172.31.255.255',
    '[::1]:11434',
    '[::1]',
    '[fd00::1]',
    '0.0.0.0',
    'gw.internal',
    'mac.local:11434',
    'a.localhost',
    '',
  ]
  const foreign = [
    'evil.example',
    'evil.example:11434',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '10.evil.example',
    '8.8.8.8',
    '172.32.0.1',
    '192.169.0.1',
    '[2001:db8::1]',
    'localhostx',
    'xlocalhost',
    'local',
    'internal',
    'localhost@evil.example',
    '[::1].evil.example',
    '[::1',
    '0x7f.1',
    '2130706433',
  ]
  for (const host of local) it(`"${host}" is local`, () => expect(isHostAllowed(host, [])).toBe(true))
  for (const host of foreign) it(`"${host}" is foreign`, () => expect(isHostAllowed(host, [])).toBe(false))

  it('of the operator pass in any case, and only they', () => {
    expect(isHostAllowed('Gateway.Example.org:443', ['gateway.example.org'])).toBe(true)
    expect(isHostAllowed('gateway.example.org', ['Gateway.Example.org'])).toBe(true)
    expect(isHostAllowed('x.gateway.example.org', ['gateway.example.org'])).toBe(false)
  })
})
