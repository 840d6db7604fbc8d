/**
 * Base 62 as keys use it: random text from a secure source without bias, and a CRC-32 as six characters. The alphabet is
 * digits, upper case, lower case, so that a key is one word for a double click and needs no escape in a URL.
 */
import { crc32 } from 'node:zlib'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** Bytes from here on would favour the first characters: 4 × 62. */
const unbiasedBelow = 248

/** Fills an array with secure random bytes. */
export type FillRandom = (bytes: Uint8Array) => void

/** `length` characters, each with 5.95 bits. */
export function randomBase62(length: number, fill: FillRandom): string {
  const bytes = new Uint8Array(length * 2)
  let text = ''
  while (text.length < length) {
    fill(bytes)
    for (const byte of bytes) {
      if (byte >= unbiasedBelow || text.length === length) continue
      text += alphabet.charAt(byte % 62)
    }
  }
  return text
}

/** CRC-32 (as in zlib) of an ASCII text, six characters. */
export function checksum(text: string): string {
  let rest = crc32(text)
  let digits = ''
  for (let index = 0; index < 6; index += 1) {
    digits = alphabet.charAt(rest % 62) + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}
