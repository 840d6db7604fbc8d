/** Which headers cross the gateway in each direction. */
import { describe, expect, it } from 'vitest'

import { forwardHeaders, responseHeaders } from '../../src/wire/request-headers.ts'

describe('towards a node', () => {
  it('go content headers and those of clients, with several values joined', () => {
    expect(
      forwardHeaders({
        'content-type': 'application/json',
        'user-agent': 'ollama/0.33.0',
        'anthropic-version': '2023-06-01',
        'x-many': ['a', 'b'],
      }),
    ).toEqual({
      'accept-encoding': 'identity',
      'content-type': 'application/json',
      'user-agent': 'ollama/0.33.0',
      'anthropic-version': '2023-06-01',
      'x-many': 'a, b',
    })
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
    'x-real-ip',
    'access-control-request-method',
    'x-corral-hop',
  ]
  for (const name of kept) {
    it(`goes no ${name}`, () => {
      expect(Object.keys(forwardHeaders({ [name]: 'x' }))).toEqual(['accept-encoding'])
    })
  }

  it('goes nothing that Connection names, in any case', () => {
    expect(forwardHeaders({ connection: 'Keep-Alive, X-Secret ,close', 'x-secret': '1', 'x-open': '2' })).toEqual({
      'accept-encoding': 'identity',
      'x-open': '2',
    })
  })

  it('go no two calls with one object', () => {
    expect(forwardHeaders({})).not.toBe(forwardHeaders({}))
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
      gone: undefined,
    }
    expect(responseHeaders(raw)).toEqual({ 'content-type': 'x', 'set-cookie': ['a', 'b'] })
  })
})
