// What an issuer's rules make of a token's claims besides tenant and scopes: nodes, caching, limits.
import { expect, test } from 'vitest'

import { noLimits } from '../../src/core/principal.ts'
import { type Claims, principalOfClaims } from '../../src/identity/claim-mapping.ts'
import { identityOptions, type IssuerOptions } from '../../src/identity/options.ts'

function issuerWith(fields: Readonly<Record<string, unknown>>): IssuerOptions {
  const issuer = { issuer: 'https://idp.example', audience: ['corral'], jwksUrl: 'https://idp.example/jwks', ...fields }
  const [parsed] = identityOptions.parse({ issuers: [issuer] }).issuers
  if (parsed === undefined) throw new Error('no issuer')
  return parsed
}

function rightsOf(claims: Claims, fields: Readonly<Record<string, unknown>>) {
  const principal = principalOfClaims({ sub: 'ana', ...claims }, issuerWith(fields))
  if (principal === null) throw new Error('no principal')
  const { nodeGroup, cache, limits } = principal
  return { nodeGroup, cache, limits }
}

const free = { nodeGroup: null, cache: null, limits: noLimits }

test('without rules a token has all nodes, the usual caching and no limits of its own', () => {
  expect(rightsOf({ groups: ['gpu', 'off'] }, {})).toEqual(free)
})

test('each rule gives what its map has for a value of its claim', () => {
  const rules = {
    nodeGroup: { map: { research: 'gpu' } },
    cache: { claim: 'corral.cache', map: { none: 'off' } },
    limits: { claim: 'plan', map: { basic: { requestsPerMinute: 10, concurrency: 2 } } },
  }
  const claims = { groups: ['staff', 'research'], corral: { cache: 'none' }, plan: 'basic' }
  expect(rightsOf(claims, rules)).toEqual({
    nodeGroup: 'gpu',
    cache: 'off',
    limits: { ...noLimits, requestsPerMinute: 10, concurrency: 2 },
  })
})

test.each([
  ['a list, in whatever order the token has it', ['slow', 'fast']],
  ['words', 'slow fast'],
])('the first entry of the map that the claim has decides, be it of %s', (_, groups) => {
  expect(rightsOf({ groups }, { nodeGroup: { map: { fast: 'a', slow: 'b' } } }).nodeGroup).toBe('a')
  expect(rightsOf({ groups }, { nodeGroup: { map: { slow: 'b', fast: 'a' } } }).nodeGroup).toBe('b')
})

test('an entry may be a whole text with spaces, or a number', () => {
  expect(rightsOf({ groups: 'North Team' }, { nodeGroup: { map: { 'North Team': 'north' } } }).nodeGroup).toBe('north')
  expect(rightsOf({ level: 3 }, { cache: { claim: 'level', map: { 3: 'on' } } }).cache).toBe('on')
})

test.each([[{}], [{ groups: [] }], [{ groups: ['constructor', '__proto__', 1, null, {}] }], [{ groups: { research: true } }]])(
  'claims %j that the map does not have give the default',
  (claims) => {
    const rule = { map: { research: 'gpu' }, default: 'cpu' }
    expect(rightsOf(claims, { nodeGroup: rule }).nodeGroup).toBe('cpu')
  },
)

test('what is no mode, no limit or no rule is refused when the configuration is read', () => {
  expect(() => issuerWith({ cache: { map: { a: 'sometimes' } } })).toThrow(/sometimes|auto/)
  expect(() => issuerWith({ limits: { map: { a: { requestsPerMinute: -1 } } } })).toThrow(/requestsPerMinute/)
  expect(() => issuerWith({ limits: { map: { a: { perHour: 1 } } } })).toThrow(/perHour/)
  expect(() => issuerWith({ nodeGroup: { values: {} } })).toThrow(/values/)
})
