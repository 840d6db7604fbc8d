/**
 * Signed tokens (JWT, RFC 7519, as RFC 8725 wants them checked). Shape, size, algorithm and header are judged before any
 * cryptography; the key comes from the issuer's own set and never from the token; everything jose leaves optional is asked
 * for. A token that was good is kept by its hash until it expires or is too old, so the cost is paid once.
 */
import { jwtVerify } from 'jose'
import { JOSEError } from 'jose/errors'

import type { Clock } from '../base/clock.ts'
import type { LimitSet } from '../core/principal.ts'
import { type Claims, principalOfClaims } from './claim-mapping.ts'
import type { PublicKey } from './jwk-import.ts'
import type { IssuerOptions } from './options.ts'
import type { TokenFacts } from './token-revocations.ts'
import { type Checked, denied } from './verdict.ts'

/** Longest token taken; a longer one costs time and says nothing more. */
const tokenLengthMax = 8_192
/** Keys tried for a token that names none. */
const keysTriedMax = 4

const tokenPattern = /^[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+$/
/** Header fields by which a token would choose its own key or rules. */
const refusedFields = ['jku', 'jwk', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'enc']

/** One issuer with its keys. */
export interface TrustedIssuer {
  readonly options: IssuerOptions
  readonly keys: { find(keyId: string | null): Promise<readonly PublicKey[]> }
}

export interface JwtCheckDeps {
  readonly issuers: ReadonlyMap<string, TrustedIssuer>
  readonly clock: Clock
  readonly limitsOf: (tenant: string) => LimitSet
  readonly isSuspended: (tenant: string) => boolean
  readonly isRevoked: (token: TokenFacts) => boolean
}

/** Whether a text has the shape of a signed token: three parts and no longer than is taken. */
export function isToken(text: string): boolean {
  return text.length <= tokenLengthMax && tokenPattern.test(text)
}

interface Header {
  readonly algorithm: string
  readonly keyId: string | null
}

/** Checks a token. Never throws for a bad one. */
export async function checkToken(token: string, deps: JwtCheckDeps): Promise<Checked> {
  const [head = '', body = ''] = token.split('.', 2)
  const unproven = decodePart(body)
  const issuerName = unproven?.['iss']
  const issuer = typeof issuerName === 'string' ? deps.issuers.get(issuerName) : undefined
  const header = readHeader(decodePart(head), issuer?.options.algorithms ?? [])
  if (issuer === undefined || header === null) return denied('invalid_token')
  const keys = (await issuer.keys.find(header.keyId)).filter(({ algorithms }) => algorithms.includes(header.algorithm))
  for (const { key } of keys.slice(0, keysTriedMax)) {
    const claims = await verified(token, { key, algorithm: header.algorithm, options: issuer.options, clock: deps.clock })
    if (claims !== null) return grantOf(claims, issuer.options, deps)
  }
  return denied('invalid_token')
}

interface Verification {
  readonly key: PublicKey['key']
  readonly algorithm: string
  readonly options: IssuerOptions
  readonly clock: Clock
}

/** The claims when signature and all rules hold; null otherwise. */
async function verified(token: string, { key, algorithm, options, clock }: Verification): Promise<Claims | null> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [algorithm],
      issuer: options.issuer,
      audience: options.audience,
      ...(options.typ === null ? {} : { typ: options.typ }),
      requiredClaims: ['exp', 'iat', 'sub', ...options.requiredClaims],
      maxTokenAge: options.tokenAgeMsMax / 1_000,
      clockTolerance: options.clockToleranceMs / 1_000,
      currentDate: new Date(clock.wallMs()),
    })
    return payload
  } catch (error) {
    if (error instanceof JOSEError || error instanceof TypeError) return null
    throw error
  }
}

function grantOf(claims: Claims, options: IssuerOptions, { limitsOf, isSuspended, isRevoked }: JwtCheckDeps): Checked {
  const { exp, iat, nbf, sub, jti } = claims
  if (!isTime(exp) || !isTime(iat) || (nbf !== undefined && !isTime(nbf))) return denied('invalid_token')
  const principal = principalOfClaims(claims, options, limitsOf)
  if (principal === null) return denied('invalid_token')
  const tokenId = typeof jti === 'string' || typeof jti === 'number' ? String(jti) : null
  if (isRevoked({ issuer: options.issuer, subject: String(sub), tokenId, issuedAtSeconds: iat })) return denied('revoked')
  if (isSuspended(principal.tenant)) return denied('suspended')
  return { kind: 'granted', principal, expiresAtWallMs: endsAtWallMs({ exp, iat }, options), final: true }
}

/** Epoch ms from which on a process that meets the token for the first time would refuse it. */
function endsAtWallMs({ exp, iat }: { readonly exp: number; readonly iat: number }, options: IssuerOptions): number {
  return Math.min(exp * 1_000, iat * 1_000 + options.tokenAgeMsMax) + options.clockToleranceMs
}

/** Whole seconds. The standard allows fractions; nobody who means well sends them, and parsers differ on them. */
function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function readHeader(header: Claims | null, algorithms: readonly string[]): Header | null {
  if (header === null || refusedFields.some((name) => Object.hasOwn(header, name))) return null
  const { alg, kid } = header
  if (typeof alg !== 'string' || !algorithms.includes(alg)) return null
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > 256)) return null
  return { algorithm: alg, keyId: kid ?? null }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A part of the token as an object; null when it is none. */
function decodePart(part: string): Claims | null {
  try {
    const value: unknown = JSON.parse(decoder.decode(Buffer.from(part, 'base64url')))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
  } catch {
    return null
  }
}
