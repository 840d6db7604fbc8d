/** An identity provider of a bench: a key pair, its key set over loopback http, and any number of different good tokens. */
import { generateKeyPairSync, sign } from 'node:crypto'
import { createServer } from 'node:http'

import { portOf } from './port-of.ts'

export interface Issuer {
  readonly name: string
  readonly jwksUrl: string
  readonly algorithm: SigningAlgorithm
  /** A token that no other call gets. */
  token(): string
  stop(): Promise<void>
}

export type SigningAlgorithm = 'RS256' | 'ES256'

const lifeSeconds = 3_600

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/** Listens on a loopback port, the only place from which a key set may come without TLS. */
export async function startIssuer(algorithm: SigningAlgorithm): Promise<Issuer> {
  const pair =
    algorithm === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2_048 }) : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = `https://${algorithm.toLowerCase()}.idp.example`
  const header = encode({ alg: algorithm, typ: 'at+jwt', kid: 'bench' })
  const keySet = JSON.stringify({ keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'bench', use: 'sig', alg: algorithm }] })
  const server = createServer((_, outgoing) => outgoing.setHeader('content-type', 'application/json').end(keySet))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const port = portOf(server)
  let made = 0
  return {
    name,
    algorithm,
    jwksUrl: `http://127.0.0.1:${port}/jwks`,
    token() {
      made += 1
      const seconds = Math.floor(Date.now() / 1_000)
      const claims = { iss: name, sub: 'herder', aud: 'corral', iat: seconds, exp: seconds + lifeSeconds, jti: String(made) }
      const signed = `${header}.${encode(claims)}`
      const key = { key: pair.privateKey, dsaEncoding: 'ieee-p1363' } as const
      return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
    },
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

/** The issuer's section of the configuration; its tokens may chat. */
export function issuerSection({ name, jwksUrl, algorithm }: Issuer) {
  return { issuer: name, audience: ['corral'], jwksUrl, algorithms: [algorithm], scopes: { default: ['chat' as const] } }
}
