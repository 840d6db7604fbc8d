/**
 * Public keys as `ollama` has them in `~/.ollama/id_ed25519.pub`: the SSH wire form, base64 (RFC 8709 §4: two length-prefixed
 * strings, the word `ssh-ed25519` and 32 bytes).
 */
import { createPublicKey, hash, type KeyObject } from 'node:crypto'

const word = 'ssh-ed25519'
const keyBytes = 32
/** What goes before the 32 bytes on the wire. */
const wirePrefix = Buffer.concat([lengthPrefixed(Buffer.from(word)), uint32(keyBytes)])
/** Base64 characters of a whole blob: 4 + 11 + 4 + 32 bytes. */
export const blobLength = 68

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function lengthPrefixed(bytes: Buffer): Buffer {
  return Buffer.concat([uint32(bytes.length), bytes])
}

/** The 32 bytes of a key in SSH form; null when `text` is none. Takes a blob, or a line of an `.pub` file. */
export function parsePublicKey(text: string): Buffer | null {
  const words = text.trim().split(/\s+/)
  const blob = words[0] === word ? words[1] : words[0]
  if (blob?.length !== blobLength || !/^[0-9A-Za-z+/]{68}$/.test(blob)) return null
  const bytes = Buffer.from(blob, 'base64')
  if (bytes.length !== wirePrefix.length + keyBytes || !bytes.subarray(0, wirePrefix.length).equals(wirePrefix)) return null
  return bytes.subarray(wirePrefix.length)
}

/** The name by which a key is found: SHA-256 of its 32 bytes, in hex. */
export function fingerprintOf(publicKey: Buffer): string {
  return hash('sha256', publicKey, 'hex')
}

/** The key as Node's crypto takes it. */
export function toKeyObject(publicKey: Buffer): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey.toString('base64url') }, format: 'jwk' })
}
