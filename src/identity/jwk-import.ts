/**
 * Keys of a key set, as far as they may verify signatures: asymmetric ones for signing, each bound to the algorithms of its own
 * kind, so that no token can choose another way to use it. RSA below 2,048 bits is left out.
 */
import { createPublicKey, hash, type KeyObject } from 'node:crypto'

export interface PublicKey {
  readonly keyId: string | null
  readonly algorithms: readonly string[]
  readonly key: KeyObject
  /** Of the key itself, to tell whether it is the same. */
  readonly thumbprint: string
}

const keyIdLengthMax = 256
const rsaBitsMin = 2_048

const algorithmsByCurve: Readonly<Record<string, readonly string[]>> = {
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
  Ed25519: ['EdDSA', 'Ed25519'],
}
const rsaAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']

/** The key; null when it is of another kind or for another use. */
export function importJwk(jwk: Readonly<Record<string, unknown>>): PublicKey | null {
  const kinds = algorithmsOf(jwk)
  if (kinds === null || !isForSigning(jwk)) return null
  const { alg, kid } = jwk
  const algorithms = typeof alg === 'string' ? kinds.filter((each) => each === alg) : kinds
  const key = toKey(jwk)
  if (algorithms.length === 0 || key === null) return null
  if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < rsaBitsMin) return null
  const thumbprint = hash('sha256', key.export({ type: 'spki', format: 'der' }), 'hex')
  const keyId = typeof kid === 'string' && kid !== '' && kid.length <= keyIdLengthMax ? kid : null
  return { keyId, algorithms, key, thumbprint }
}

function algorithmsOf({ kty, crv }: Readonly<Record<string, unknown>>): readonly string[] | null {
  if (kty === 'RSA') return rsaAlgorithms
  if ((kty === 'EC' || kty === 'OKP') && typeof crv === 'string' && Object.hasOwn(algorithmsByCurve, crv))
    return algorithmsByCurve[crv] ?? null
  return null
}

function isForSigning({ use, key_ops: operations, d }: Readonly<Record<string, unknown>>): boolean {
  if (d !== undefined) return false
  if (use !== undefined && use !== 'sig') return false
  return !Array.isArray(operations) || operations.includes('verify')
}

/** Only the public parts are handed over. */
function toKey({ kty, crv, n, e, x, y }: Readonly<Record<string, unknown>>): KeyObject | null {
  const parts = { kty, crv, n, e, x, y }
  const jwk: Record<string, string> = {}
  for (const [name, value] of Object.entries(parts)) if (typeof value === 'string') jwk[name] = value
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    return null
  }
}
