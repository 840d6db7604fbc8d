/** An identity provider for tests: keys of several kinds, tokens of any shape, and a key set that can be taken away. */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

export interface TestIssuer {
  readonly name: string
  readonly url: string
  keySet: () => string | Promise<string>
  fetches: number
  token(claims?: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): string
  readonly publicPem: string
  readonly publicJwk: Readonly<Record<string, unknown>>
  readonly privateKey: KeyObject
}

export const nowSeconds = Date.parse('2026-11-25T12:00:00.000Z') / 1_000

export function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}

/** A token over ready-made parts, signed RS256 whatever its header says. */
export function signParts(head: string, body: string, key: KeyObject): string {
  return `${head}.${body}.${sign('sha256', Buffer.from(`${head}.${body}`), key).toString('base64url')}`
}

/** A token signed with a shared key. */
export function signShared(head: string, body: string, shared: string | Buffer): string {
  return `${head}.${body}.${createHmac('sha256', shared).update(`${head}.${body}`).digest('base64url')}`
}

export const goodClaims = { sub: 'user-1', aud: 'corral', iat: nowSeconds, exp: nowSeconds + 600, scope: 'use' }

export function makeIssuer(name = 'https://idp.example', keyId = 'key-1'): TestIssuer {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  const publicJwk = { ...publicKey.export({ format: 'jwk' }), kid: keyId, use: 'sig', alg: 'RS256' }
  const issuer: TestIssuer = {
    name,
    url: `${name}/jwks`,
    fetches: 0,
    keySet: () => JSON.stringify({ keys: [publicJwk] }),
    token: (claims = {}, header = {}) =>
      signParts(
        encode({ alg: 'RS256', typ: 'at+jwt', kid: keyId, ...header }),
        encode({ iss: name, ...goodClaims, ...claims }),
        privateKey,
      ),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }),
    publicJwk,
    privateKey,
  }
  return issuer
}

/** Fetches from the issuers by URL. */
export function fetchFrom(issuers: readonly TestIssuer[]) {
  return async (url: string): Promise<string> => {
    const issuer = issuers.find((each) => each.url === url)
    if (issuer === undefined) throw new Error(`no issuer at ${url}`)
    issuer.fetches += 1
    return issuer.keySet()
  }
}

/** Options of an issuer as the configuration has them. */
export function issuerSection(issuer: TestIssuer, fields: Readonly<Record<string, unknown>> = {}) {
  return {
    issuer: issuer.name,
    audience: ['corral'],
    jwksUrl: issuer.url,
    scopes: { claim: 'scope', map: { use: ['chat' as const] } },
    ...fields,
  }
}
