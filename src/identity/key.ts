/**
 * API keys as text: `corral_<id>_<secret><crc>`. The id (12 characters) is public and names the key in lists, logs and rows;
 * the secret has 33 characters (196 bits); the CRC lets a scanner or a typo be told without a
 * look-up. A key is shown once, when it is made; what is kept is a digest that is worth nothing without the pepper.
 */
import { checksum, type FillRandom, randomBase62 } from './base62.ts'

const idLength = 12
/** 33 × 5.954 bits = 196.5 bits. */
const secretLength = 33
const crcLength = 6

/** What every key begins with; secret scanners look for it. */
export const keyPrefix = 'corral_'

const keyPattern = /^corral_[0-9A-Za-z]{12}_[0-9A-Za-z]{39}$/
const keyLength = keyPrefix.length + idLength + 1 + secretLength + crcLength

/** The two halves of a key whose checksum is right. */
export interface ParsedKey {
  readonly id: string
  readonly secret: string
}

/** A key that was just made. */
export interface NewKey extends ParsedKey {
  /** The whole key, for its owner only. */
  readonly text: string
}

/** Makes a key. */
export function makeKey(fill: FillRandom): NewKey {
  const id = randomBase62(idLength, fill)
  const secret = randomBase62(secretLength, fill)
  const body = `${keyPrefix}${id}_${secret}`
  return { id, secret, text: body + checksum(body) }
}

/** Takes a key apart; null when it cannot be one: wrong length, alphabet or checksum. */
export function parseKey(text: string): ParsedKey | null {
  if (text.length !== keyLength || !keyPattern.test(text)) return null
  const body = text.slice(0, -crcLength)
  if (checksum(body) !== text.slice(-crcLength)) return null
  return { id: body.slice(keyPrefix.length, keyPrefix.length + idLength), secret: body.slice(-secretLength) }
}

/** Id of a new signing key, which has no text: same alphabet and length. */
export function makeKeyId(fill: FillRandom): string {
  return randomBase62(idLength, fill)
}
