// What the guard looks at, in which order, and what it never does.
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'

import { describe, expect, test } from 'vitest'

import type { Arrival } from '../../src/http/connection.ts'
import { type AddressLimit, createGuard, openGuard, type Passage, type Wanted } from '../../src/http/auth/guard.ts'
import { takePathKey } from '../../src/http/auth/path-key.ts'
import type { AddressTrial } from '../../src/limits/bucket-table.ts'
import { RequestHeaders } from '../../src/wire/request-headers.ts'
import { makeIssuer } from './issuer.ts'
import { tokenStand } from './token-stand.ts'

const issuer = makeIssuer()
const wanted: Wanted = { pattern: '/api/chat', scope: 'chat', operatorOnly: false, dialect: 'ollama' }

function arrive(rawHeaders: string[], target = '/api/chat'): Arrival {
  const incoming = new IncomingMessage(new Socket())
  incoming.rawHeaders = rawHeaders
  incoming.url = target
  incoming.method = 'POST'
  return { incoming, outgoing: new ServerResponse(incoming), headers: new RequestHeaders(), pathKey: null }
}

class Limit implements AddressLimit {
  charged = 0
  wait = 0
  waitMs(): number {
    return this.wait
  }
  charge(): void {
    this.charged += 1
  }
  hold(): AddressTrial {
    return { admitted: true, end: (outcome) => void (this.charged += outcome === 'bad' ? 1 : 0) }
  }
  holdSigner(): AddressTrial {
    return this.hold()
  }
}

function codeOf(passage: Passage): string {
  return 'kind' in passage ? passage.error.code : passage.method
}

describe('an address', () => {
  test('is charged for what is no credential, and for nothing else', async () => {
    const limit = new Limit()
    const guard = createGuard((await tokenStand([issuer])).identity, limit)
    const ask = async (...headers: string[]) => codeOf(await guard.admit(arrive(headers), wanted))
    expect(await ask('Authorization', `Bearer ${issuer.token()}`)).toBe('jwt')
    expect(await ask('Authorization', `Bearer ${issuer.token({ scope: 'none' })}`)).toBe('insufficient_scope')
    expect(limit.charged).toBe(0)
    expect(await ask()).toBe('unauthenticated')
    expect(await ask('Authorization', 'Bearer nonsense')).toBe('unauthenticated')
    expect(limit.charged).toBe(2)
  })

  test('that has to wait is told so before its credential is looked at', async () => {
    const stand = await tokenStand([issuer])
    const limit = new Limit()
    limit.wait = 7_000
    const passage = await createGuard(stand.identity, limit).admit(arrive(['Authorization', `Bearer ${issuer.token()}`]), wanted)
    expect(passage).toMatchObject({ kind: 'refused', error: { code: 'rate_limited', status: 429, retryAfterMs: 7_000 } })
    expect(stand.told.decisions).toEqual([])
  })

  test('that has to wait still finds open routes open', async () => {
    const limit = new Limit()
    limit.wait = 7_000
    const guard = createGuard((await tokenStand([issuer])).identity, limit)
    expect(codeOf(await guard.admit(arrive([]), { ...wanted, scope: null }))).toBe('open')
  })
})

test('every decision is counted, by how and with what result', async () => {
  const stand = await tokenStand([issuer])
  const guard = createGuard(stand.identity)
  const token = issuer.token()
  await guard.admit(arrive(['authorization', `Bearer ${token}`]), wanted)
  await guard.admit(arrive(['authorization', `Bearer ${token}`]), wanted)
  await guard.admit(arrive(['authorization', `Bearer corral_${'a'.repeat(51)}`]), wanted)
  await guard.admit(arrive([]), wanted)
  expect(stand.told.decisions).toEqual(['jwt granted', 'jwt granted', 'key method_off', 'none missing'])
})

test('who was let in is known until the request is over, and nobody else is', async () => {
  const guard = createGuard((await tokenStand([issuer])).identity)
  const arrival = arrive(['authorization', `Bearer ${issuer.token()}`])
  expect(() => guard.principalOf(arrival.incoming)).toThrow('nobody let in')
  const principal = await guard.admit(arrival, wanted)
  expect(guard.principalOf(arrival.incoming)).toBe(principal)
})

test('in open mode nothing of the request is looked at', () => {
  const arrival = arrive([])
  Object.defineProperty(arrival.incoming, 'rawHeaders', {
    get: () => {
      throw new Error('looked at')
    },
  })
  expect(openGuard.admit(arrival, wanted)).toMatchObject({ method: 'open', tenant: 'local' })
})

test.each([
  ['/k/KEY/api/chat', 'KEY', '/api/chat'],
  ['/k/KEY/', 'KEY', '/'],
  ['/k/KEY', 'KEY', '/'],
  ['/k/KEY?ts=1', 'KEY', '/?ts=1'],
  ['/k/KEY/api/tags?x=/k/2', 'KEY', '/api/tags?x=/k/2'],
  ['/k//api/tags', '', '/api/tags'],
  ['/k/', '', '/'],
  ['/api/k/KEY', null, '/api/k/KEY'],
  ['/kKEY', null, '/kKEY'],
  ['/', null, '/'],
])('%s holds the key %s and asks for %s', (target, key, rest) => {
  const { incoming } = arrive([], target)
  expect(takePathKey(incoming)).toBe(key)
  expect(incoming.url).toBe(rest)
})
