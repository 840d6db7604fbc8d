// Tokens: the good ones, and the forged, broken and misdirected ones of the bad-input catalogue (B28–B31) and RFC 8725.
import { generateKeyPairSync, sign } from 'node:crypto'

import { describe, expect, test } from 'vitest'

import type { Principal } from '../../src/core/principal.ts'
import { judge, type Stand } from './fixture.ts'
import { encode, goodClaims, makeIssuer, nowSeconds, signParts, signShared, type TestIssuer } from './issuer.ts'
import { tokenStand } from './token-stand.ts'

const issuer = makeIssuer()
const stranger = makeIssuer('https://idp.example')
const head = { alg: 'RS256', typ: 'at+jwt', kid: 'key-1' }
const body = { iss: issuer.name, ...goodClaims }

async function principalOf(stand: Stand, text: string): Promise<Principal> {
  const verdict = await stand.identity.authenticate({ kind: 'token', text }, { method: 'GET', path: '/', query: '' })
  if (verdict.kind !== 'granted') throw new Error(`not granted: ${verdict.kind}`)
  return verdict.principal
}

describe('a good token', () => {
  test('is let in with the scopes its claims map to, and costs no look-up', async () => {
    const stand = await tokenStand([issuer])
    const before = stand.database.transactions
    const principal = await principalOf(stand, issuer.token({ scope: 'use openid admin' }))
    expect(principal).toMatchObject({ method: 'jwt', scopes: new Set(['chat']), models: null })
    expect(stand.database.transactions).toBe(before)
  })

  test('is verified once and known from then on, until it expires', async () => {
    const stand = await tokenStand([issuer])
    const token = issuer.token()
    expect(await judge(stand, token)).toBe('granted')
    const again = stand.identity.authenticate({ kind: 'token', text: token }, { method: 'GET', path: '/', query: '' })
    expect(again).toMatchObject({ kind: 'granted' })
    stand.clock.pass(629_999)
    expect(await judge(stand, token)).toBe('granted')
    stand.clock.pass(1)
    expect(await judge(stand, token)).toBe('expired')
  })

  test('is known for no longer than a token may be old, however late it expires', async () => {
    const seen = await tokenStand([issuer], { tokenAgeMsMax: 3_600_000 })
    const token = issuer.token({ exp: nowSeconds + 30 * 86_400 })
    expect(await judge(seen, token)).toBe('granted')
    seen.clock.pass(3_629_999)
    expect(await judge(seen, token)).toBe('granted')
    seen.clock.pass(1)
    const fresh = await tokenStand([issuer], { tokenAgeMsMax: 3_600_000 })
    fresh.clock.pass(3_631_000)
    expect(await judge(seen, token)).toBe('expired')
    expect(await judge(fresh, token)).toBe('invalid_token')
  })

  test.each([
    ['a list with ours among a thousand', { aud: [...Array.from({ length: 999 }, (_, index) => index.toString(36)), 'corral'] }],
    ['a clock that is 29 s ahead', { iat: nowSeconds + 29, nbf: nowSeconds + 29 }],
  ])('may have %s (B30)', async (_, claims) => {
    expect(await judge(await tokenStand([issuer]), issuer.token(claims))).toBe('granted')
  })

  test.each([
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'sha256', true],
    ['EdDSA', generateKeyPairSync('ed25519'), null, false],
  ] as const)('may be signed with %s', async (alg, { publicKey, privateKey }, digest, isEc) => {
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'other' }
    const other = { ...makeIssuer(), keySet: () => JSON.stringify({ keys: [jwk] }) }
    const parts = `${encode({ ...head, alg, kid: 'other' })}.${encode({ ...body, iss: other.name })}`
    const signature = isEc
      ? sign(digest, Buffer.from(parts), { key: privateKey, dsaEncoding: 'ieee-p1363' })
      : sign(digest, Buffer.from(parts), privateKey)
    expect(await judge(await tokenStand([other]), `${parts}.${signature.toString('base64url')}`)).toBe('granted')
  })
})

/** Each is refused, whatever it tries. */
const forged: readonly (readonly [string, (by: TestIssuer) => string])[] = [
  ['alg none, without a signature', () => `${encode({ ...head, alg: 'none' })}.${encode(body)}.`],
  ['alg none, with one', (by) => signParts(encode({ ...head, alg: 'none' }), encode(body), by.privateKey)],
  ['alg nOnE', (by) => signParts(encode({ ...head, alg: 'nOnE' }), encode(body), by.privateKey)],
  ['HS256 with the public key as the shared one', (by) => signShared(encode({ ...head, alg: 'HS256' }), encode(body), by.publicPem)],
  [
    'HS256 with the key’s modulus',
    (by) => signShared(encode({ ...head, alg: 'HS256' }), encode(body), Buffer.from(String(by.publicJwk['n']), 'base64url')),
  ],
  ['HS256 with an empty key', () => signShared(encode({ ...head, alg: 'HS256' }), encode(body), '')],
  ['RS256 in words, HMAC in fact', (by) => signShared(encode(head), encode(body), by.publicPem)],
  ['an algorithm that the key is not for', (by) => by.token({}, { alg: 'RS512' })],
  ['an algorithm that is not allowed', (by) => by.token({}, { alg: 'RS384' })],
  ['no algorithm', (by) => by.token({}, { alg: undefined })],
  ['a list of algorithms', (by) => by.token({}, { alg: ['RS256'] })],
  ['somebody else’s signature', () => stranger.token()],
  ['a changed payload', (by) => by.token().replace(/\.[^.]+\./, `.${encode({ ...body, sub: 'admin' })}.`)],
  ['a cut signature', (by) => by.token().slice(0, -4)],
  ['an empty signature', (by) => by.token().replace(/[^.]+$/, '')],
  ['an unknown key id', (by) => by.token({}, { kid: 'key-2' })],
  ['a key id that is a path', (by) => by.token({}, { kid: '../../dev/null' })],
  ['a key id that is SQL', (by) => by.token({}, { kid: "' or '1'='1" })],
  ['a key id that is a prototype', (by) => by.token({}, { kid: '__proto__' })],
  ['a key id that is a number', (by) => by.token({}, { kid: 1 })],
  ['a key of its own (jwk)', () => stranger.token({}, { jwk: stranger.publicJwk })],
  ['a key set of its own (jku)', () => stranger.token({}, { jku: 'https://evil.example/jwks' })],
  ['a certificate of its own (x5u)', () => stranger.token({}, { x5u: 'https://evil.example/cert' })],
  ['a certificate of its own (x5c)', () => stranger.token({}, { x5c: ['MIIB'] })],
  ['jku beside a good signature', (by) => by.token({}, { jku: by.url })],
  ['crit', (by) => by.token({}, { crit: ['exp'], exp: 1 })],
  ['b64 false', (by) => by.token({}, { crit: ['b64'], b64: false })],
  ['no exp', (by) => by.token({ exp: undefined })],
  ['exp as a text', (by) => by.token({ exp: String(nowSeconds + 600) })],
  ['exp as a fraction', (by) => by.token({ exp: nowSeconds + 600.5 })],
  ['exp as 1e400', (by) => signParts(encode(head), encode(JSON.stringify(body).replace(/"exp":\d+/, '"exp":1e400')), by.privateKey)],
  ['exp as null', (by) => by.token({ exp: null })],
  ['exp in the past', (by) => by.token({ exp: nowSeconds - 31 })],
  ['a negative exp', (by) => by.token({ exp: -1 })],
  ['nbf in the future', (by) => by.token({ nbf: nowSeconds + 31 })],
  ['nbf as a text', (by) => by.token({ nbf: '0' })],
  ['no iat', (by) => by.token({ iat: undefined })],
  ['iat a day ahead', (by) => by.token({ iat: nowSeconds + 86_400, exp: nowSeconds + 90_000 })],
  ['iat older than a token may be', (by) => by.token({ iat: nowSeconds - 86_400 - 31 })],
  ['no sub', (by) => by.token({ sub: undefined })],
  ['an empty sub', (by) => by.token({ sub: '' })],
  ['an object for a sub', (by) => by.token({ sub: { toString: 'x' } })],
  ['another issuer', (by) => by.token({ iss: 'https://evil.example' })],
  ['the issuer with a slash', (by) => by.token({ iss: `${by.name}/` })],
  ['a list of issuers', (by) => by.token({ iss: [by.name] })],
  ['no issuer', (by) => by.token({ iss: undefined })],
  ['another audience', (by) => by.token({ aud: 'payroll' })],
  ['a list of other audiences', (by) => by.token({ aud: ['payroll', 'corral2'] })],
  ['no audience', (by) => by.token({ aud: undefined })],
  ['the type of an id token', (by) => by.token({}, { typ: 'JWT' })],
  ['no type', (by) => by.token({}, { typ: undefined })],
  ['two parts', (by) => by.token().split('.').slice(0, 2).join('.')],
  ['five parts (JWE)', (by) => `${by.token()}.${encode('a')}.${encode('b')}`],
  ['a megabyte', (by) => by.token({ filler: 'x'.repeat(1_048_576) })],
  ['padding', (by) => by.token().replace('.', '=.')],
  ['standard base64', (by) => by.token().replace(/[^.]$/, '+')],
  ['spaces', (by) => by.token().replace('.', ' .')],
  [
    'a payload that is no UTF-8',
    (by) => signParts(encode(head), Buffer.from('{"iss":"\xff"}', 'latin1').toString('base64url'), by.privateKey),
  ],
  ['a payload that is a list', (by) => signParts(encode(head), encode([body]), by.privateKey)],
  ['a payload that is null', (by) => signParts(encode(head), encode('null'), by.privateKey)],
  ['a header that is a text', (by) => signParts(encode('"RS256"'), encode(body), by.privateKey)],
  ['empty parts', () => '..'],
]

describe('a token with', () => {
  test.each(forged)('%s is refused', async (_, make) => {
    const stand = await tokenStand([issuer])
    const verdict = await judge(stand, make(issuer))
    expect(['invalid_token', 'malformed']).toContain(verdict)
    // And the same issuer's good token is not held back by it.
    expect(await judge(stand, issuer.token())).toBe('granted')
  })

  test('any of these leaves no fetch behind but that of an unknown key id', async () => {
    const stand = await tokenStand([issuer])
    const before = issuer.fetches
    for (const [, make] of forged) await judge(stand, make(issuer))
    expect(issuer.fetches - before).toBeLessThanOrEqual(1)
  })
})

describe('a key set', () => {
  test.each([['an RSA key of 1,024 bits', generateKeyPairSync('rsa', { modulusLength: 1_024 })]])(
    'with only %s is not taken',
    async (_, { publicKey, privateKey }) => {
      const weak = { ...makeIssuer(), keySet: () => JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'key-1' }] }) }
      const stand = await tokenStand([weak])
      expect(await judge(stand, signParts(encode(head), encode(body), privateKey))).toBe('invalid_token')
      expect(stand.told.failures.join()).toContain('no public signature key')
    },
  )

  test.each([
    ['for encryption', { use: 'enc' }],
    ['shared', { kty: 'oct', k: 'c2hhcmVk' }],
    ['private', { d: 'AQAB' }],
  ])('with a %s key is not taken', async (_, fields) => {
    const odd = makeIssuer()
    odd.keySet = () => JSON.stringify({ keys: [{ ...odd.publicJwk, ...fields }] })
    expect(await judge(await tokenStand([odd]), odd.token())).toBe('invalid_token')
  })
})

describe('two issuers', () => {
  const one = makeIssuer('https://one.example')
  const two = makeIssuer('https://two.example')

  test('that know the same subject are two tenants and two subjects', async () => {
    const stand = await tokenStand([one, two])
    const first = await principalOf(stand, one.token({ sub: 'alice' }))
    const second = await principalOf(stand, two.token({ sub: 'alice' }))
    expect(first.tenant).not.toBe(second.tenant)
    expect(first.subject).not.toBe(second.subject)
    expect((await principalOf(stand, one.token({ sub: 'alice', jti: '2' }))).tenant).toBe(first.tenant)
  })

  test('sign for themselves alone, with the same key id too', async () => {
    const stand = await tokenStand([one, two])
    expect(await judge(stand, one.token({ iss: two.name }))).toBe('invalid_token')
  })
})

describe('a mapping', () => {
  test('takes a tenant from a nested claim, by a name or by a hash', async () => {
    const stand = await tokenStand([issuer], { tenant: { claim: 'org.id', map: { o1: 'acme' } } })
    expect((await principalOf(stand, issuer.token({ org: { id: 'o1' } }))).tenant).toBe('acme')
    expect((await principalOf(stand, issuer.token({ org: { id: 'acme' } }))).tenant).toMatch(/^jwt-[0-9a-f]{32}$/)
    expect(await judge(stand, issuer.token({ org: {} }))).toBe('invalid_token')
  })

  test('makes nobody the operator by a claim that says so', async () => {
    const stand = await tokenStand([issuer], { tenant: { claim: 'org' } })
    expect((await principalOf(stand, issuer.token({ org: 'local' }))).tenant).not.toBe('local')
  })

  test('may refuse values that it does not have', async () => {
    const stand = await tokenStand([issuer], { tenant: { claim: 'org', map: { o1: 'acme' }, mappedOnly: true } })
    expect(await judge(stand, issuer.token({ org: 'o2' }))).toBe('invalid_token')
  })

  test('reads a claim whose name has dots, and lists of roles', async () => {
    const claim = 'https://corral.example/roles'
    const stand = await tokenStand([issuer], {
      scopes: { claim, map: { writer: ['models:write', 'chat'], boss: ['admin'] }, default: ['models:read'] },
    })
    const principal = await principalOf(stand, issuer.token({ [claim]: ['writer', 'unknown', 7, null] }))
    expect(principal.scopes).toEqual(new Set(['models:read', 'models:write', 'chat']))
  })

  test.each(['__proto__', 'constructor', 'toString'])('gives nothing for the word %s', async (word) => {
    const stand = await tokenStand([issuer], { tenant: { claim: 'org', map: {}, mappedOnly: true } })
    expect(await judge(stand, issuer.token({ org: word }))).toBe('invalid_token')
    expect((await principalOf(await tokenStand([issuer]), issuer.token({ scope: word }))).scopes).toEqual(new Set())
  })
})
