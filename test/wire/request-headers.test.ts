/** Which headers cross the gateway in each direction. */
import { describe, expect, it } from 'vitest'

import { headerIn, readRequestHeaders, responseHeaders, withoutHeader } from '../../src/wire/request-headers.ts'

/** What goes to a node of a client's headers, `accept-encoding` left out. */
function forwarded(...raw: string[]): string[] {
  const flat = readRequestHeaders(raw).forwarded
  expect(flat.slice(0, 2)).toEqual(['accept-encoding', 'identity'])
  return flat.slice(2)
}

describe('towards a node', () => {
  it('go content headers and those of clients, as often as they came, with lower-case names', () => {
    const raw = [
      'Content-Type',
      'application/json',
      'User-Agent',
      'ollama/0.33.0',
      'Anthropic-Version',
      '2023-06-01',
      'X-Many',
      'a',
      'x-many',
      'b',
    ]
    expect(forwarded(...raw)).toEqual([
      'content-type',
      'application/json',
      'user-agent',
      'ollama/0.33.0',
      'anthropic-version',
      '2023-06-01',
      'x-many',
      'a',
      'x-many',
      'b',
    ])
  })

  const kept = [
    'host',
    'origin',
    'referer',
    'authorization',
    'proxy-authorization',
    'x-api-key',
    'cookie',
    'expect',
    'connection',
    'keep-alive',
    'transfer-encoding',
    'te',
    'trailer',
    'upgrade',
    'content-length',
    'forwarded',
    'x-forwarded-for',
    'x-forwarded-prefix',
    'x-forwarded-port',
    'x-forwarded-server',
    'api-key',
    'x-real-ip',
    'access-control-request-method',
    'x-corral-hop',
  ]
  for (const name of kept.filter((one) => one !== 'x-corral-hop')) {
    it(`goes no ${name}`, () => {
      expect(forwarded(name, 'x')).toEqual([])
      expect(forwarded(name.toUpperCase(), 'x')).toEqual([])
    })
  }

  it('goes nothing that Connection names, in any case', () => {
    expect(forwarded('Connection', 'Keep-Alive, X-Secret ,close', 'X-Secret', '1', 'x-open', '2')).toEqual(['x-open', '2'])
  })

  it('go no two calls with one list', () => {
    expect(readRequestHeaders([]).forwarded).not.toBe(readRequestHeaders([]).forwarded)
  })

  it('goes the list of Corrals passed, the last one behind those before it', () => {
    expect(forwarded('X-Corral-Hop', 'b')).toEqual(['x-corral-past-hops', 'b'])
    expect(forwarded('X-Corral-Hop', 'b', 'X-Corral-Past-Hops', 'a')).toEqual(['x-corral-past-hops', 'a, b'])
  })

  it('goes a list without one header, and its value is found', () => {
    expect(withoutHeader(['a', 'x', 'b', 'a'], 'a')).toEqual(['b', 'a'])
    expect([headerIn(['a', 'x', 'b', 'a'], 'b'), headerIn(['a', 'x'], 'x')]).toEqual(['a', null])
  })
})

describe('for the gateway itself', () => {
  it('are counted hosts, and joined what came twice', () => {
    const headers = readRequestHeaders(['Host', 'a', 'HOST', 'b', 'Traceparent', 't', 'tracestate', 'x', 'tracestate', 'y'])
    expect([headers.hosts, headers.host, headers.traceparent, headers.tracestate]).toEqual([2, 'a, b', 't', 'x, y'])
  })

  it('say whether a body comes', () => {
    const has = (...raw: string[]): boolean => readRequestHeaders(raw).hasBody
    expect([has(), has('Content-Length', '0'), has('Content-Length', '1'), has('Transfer-Encoding', 'chunked')]).toEqual([
      false,
      false,
      true,
      true,
    ])
  })
})

describe('towards a client', () => {
  it('go end-to-end headers only, and no CORS of the node', () => {
    const raw = {
      'content-type': 'x',
      'set-cookie': ['a', 'b'],
      connection: 'close',
      'transfer-encoding': 'chunked',
      'content-length': '5',
      date: 'd',
      vary: 'Origin',
      'access-control-allow-origin': '*',
      'x-request-id': 'of the node',
      'x-corral-node': 'of a Corral behind this one',
      gone: undefined,
    }
    expect(responseHeaders(raw)).toEqual({ 'content-type': 'x', 'set-cookie': ['a', 'b'] })
  })
})
