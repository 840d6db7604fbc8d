/**
 * Digests of the canonical form of long conversations' messages, found again by the SHA-256 of their raw bytes: the history
 * repeats in every turn, and parsing it each time would hold the event loop for milliseconds. Bounded by count.
 */
import { hash } from 'node:crypto'

import { LRUCache } from 'lru-cache'

const entriesMax = 20_000
/** Hashing less than this twice costs more than parsing it once. */
const rawBytesMin = 512

export class DigestCache {
  readonly #digests = new LRUCache<string, string>({ max: entriesMax })

  /** What `compute` gave for the same bytes, or gives now. Null is not kept. */
  of(raw: Buffer, compute: () => string | null): string | null {
    if (raw.length < rawBytesMin) return compute()
    const key = hash('sha256', raw, 'base64')
    const known = this.#digests.get(key)
    if (known !== undefined) return known
    const digest = compute()
    if (digest !== null) this.#digests.set(key, digest)
    return digest
  }
}
