/**
 * The `Authorization` of an Ollama client with `OLLAMA_AUTH=1`, built from the description of its wire form alone (a key blob as OpenSSH
 * has it, a colon, an ed25519 signature, both in base64) and sharing no code with what reads it.
 */
import { type KeyObject, sign } from 'node:crypto'

export interface SigningRequest {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
  readonly method: string
  /** Without a query. */
  readonly path: string
  /** Seconds since 1970, which also go into the query as `ts`. */
  readonly seconds: number
}

/** RFC 8709 §4: the name and the 32 bytes of the key, each behind its length in four bytes. */
export function blobOf(publicKey: KeyObject): string {
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  const framed = (bytes: Buffer): Buffer[] => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return [length, bytes]
  }
  return Buffer.concat([...framed(Buffer.from('ssh-ed25519')), ...framed(raw)]).toString('base64')
}

export function authorizationOf({ publicKey, privateKey, method, path, seconds }: SigningRequest): string {
  return `${blobOf(publicKey)}:${sign(null, Buffer.from(`${method},${path}?ts=${seconds}`), privateKey).toString('base64')}`
}
