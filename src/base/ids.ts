/**
 * Request, trace and span ids. They are drawn from a pool of random bytes that is refilled every few hundred ids, because a
 * system call per request would cost more than the rest of its bookkeeping. Ids are not secrets: they name a request in logs
 * and on `/admin/requests`, but nobody can guess one (130 and 128 bits; a span has 64).
 */
import { randomFillSync } from 'node:crypto'

export interface IdSource {
  /** 26 characters of lower-case Crockford base 32. */
  requestId(): string
  /** 32 hex digits, never all zero. */
  traceId(): string
  /** 16 hex digits, never all zero. */
  spanId(): string
}

const poolBytes = 8_192
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
/** Two characters of the alphabet for ten random bits. */
const pairs: readonly string[] = Array.from({ length: 1_024 }, (_, index) => alphabet.charAt(index >> 5) + alphabet.charAt(index & 31))
const hexPairs: readonly string[] = Array.from({ length: 256 }, (_, index) => index.toString(16).padStart(2, '0'))

class PooledIds implements IdSource {
  readonly #fill: (bytes: Uint8Array) => void
  readonly #pool = new Uint8Array(poolBytes)
  #next = poolBytes

  constructor(fill: (bytes: Uint8Array) => void) {
    this.#fill = fill
  }

  /** Index of `count` unused bytes. */
  #take(count: number): number {
    if (this.#next + count > poolBytes) {
      this.#fill(this.#pool)
      this.#next = 0
    }
    const start = this.#next
    this.#next += count
    return start
  }

  requestId(): string {
    const start = this.#take(26)
    const pool = this.#pool
    let id = ''
    for (let at = start; at < start + 26; at += 2) id += pairs[(((pool[at] ?? 0) << 8) | (pool[at + 1] ?? 0)) & 1_023]
    return id
  }

  #hex(bytes: number): string {
    const start = this.#take(bytes)
    const pool = this.#pool
    let id = ''
    let seen = 0
    for (let at = start; at < start + bytes; at += 1) {
      const byte = pool[at] ?? 0
      seen |= byte
      id += hexPairs[byte]
    }
    return seen === 0 ? this.#hex(bytes) : id
  }

  traceId(): string {
    return this.#hex(16)
  }

  spanId(): string {
    return this.#hex(8)
  }
}

/** A source of ids; `random` fills an array with random bytes and is the system's by default. */
export function createIdSource(random: (bytes: Uint8Array) => void = (bytes) => void randomFillSync(bytes)): IdSource {
  return new PooledIds(random)
}
