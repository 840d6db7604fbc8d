/**
 * Where a page of a list ended, as a text for whoever asks for the next one. It is signed and bound to the list it was made for, so that none
 * can be made up, or carried into another list. What it says can be read by whoever has it.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'

const macBytes = 16

export interface Cursors {
  /** `list`: whose list it is, and which. */
  make(place: readonly string[], list: readonly (string | null)[]): string
  /** The place; null for a text that was not made for this list. */
  open(cursor: string, list: readonly (string | null)[]): readonly string[] | null
}

/** `secret`: of the installation, as replicas share it; `use`: what the cursors are for, which no other use of the secret has. */
export function createCursors(secret: string | Buffer, use: string): Cursors {
  const key = Buffer.from(hkdfSync('sha256', secret, '', `corral ${use} cursor`, 32))
  const sign = (place: string, list: readonly (string | null)[]): Buffer =>
    createHmac('sha256', key)
      .update(JSON.stringify([...list, place]))
      .digest()
      .subarray(0, macBytes)
  return {
    make(place, list) {
      const text = Buffer.from(JSON.stringify(place)).toString('base64url')
      return `${text}.${sign(text, list).toString('base64url')}`
    },
    open(cursor, list) {
      const [text = '', mac = ''] = cursor.split('.', 2)
      const given = Buffer.from(mac, 'base64url')
      if (given.length !== macBytes || !timingSafeEqual(given, sign(text, list))) return null
      // Signed, so it was made here.
      const place: readonly string[] = JSON.parse(Buffer.from(text, 'base64url').toString())
      return place
    },
  }
}
