/**
 * What a browser keeps for us and must neither read nor change: JSON sealed with AES-256-GCM under a key that the installation's secret gives
 * for one use. Every replica opens it; nothing is kept on this side.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomFillSync } from 'node:crypto'

const ivBytes = 12
const tagBytes = 16
const algorithm = 'aes-256-gcm'

export class Seal {
  readonly #key: Buffer

  constructor(secret: string, use: string) {
    this.#key = Buffer.from(hkdfSync('sha256', secret, '', use, 32))
  }

  /** As base64url. */
  seal(value: unknown): string {
    const iv = randomFillSync(Buffer.alloc(ivBytes))
    const cipher = createCipheriv(algorithm, this.#key, iv)
    return Buffer.concat([iv, cipher.update(JSON.stringify(value)), cipher.final(), cipher.getAuthTag()]).toString('base64url')
  }

  /** Undefined for what was sealed under another secret, for another use, or tampered with. */
  open(text: string): unknown {
    // The decoder passes over what is no base64url; here nothing but what was handed out counts.
    if (!/^[\w-]+$/.test(text)) return undefined
    const bytes = Buffer.from(text, 'base64url')
    if (bytes.length <= ivBytes + tagBytes) return undefined
    const decipher = createDecipheriv(algorithm, this.#key, bytes.subarray(0, ivBytes), { authTagLength: tagBytes })
    decipher.setAuthTag(bytes.subarray(-tagBytes))
    try {
      return JSON.parse(Buffer.concat([decipher.update(bytes.subarray(ivBytes, -tagBytes)), decipher.final()]).toString())
    } catch {
      return undefined
    }
  }
}
