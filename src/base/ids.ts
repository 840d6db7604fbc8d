/**
 * Request, trace and span ids. They are drawn from a pool of random bytes that is refilled every few hundred ids, because a
 * system call per request would cost more than the rest of its bookkeeping. Ids are not secrets: they name a request in logs
 * and on `/admin/requests`, but nobody can guess one (104 and 128 bits; a span has 64).
 */
import { randomFillSync } from 'node:crypto'

export interface IdSource {
  /** 26 hex digits. */
  requestId(): string
  /** 32 hex digits, never all zero. */
  traceId(): string
  /** 16 hex digits, never all zero. */
  spanId(): string
}

const poolBytes = 8_192
const requestIdBytes = 13
/** All-zero ids, which the standard forbids, by their length in bytes. */
const zeros: Readonly<Record<number, string>> = { 8: '0'.repeat(16), 16: '0'.repeat(32) }

class PooledIds implements IdSource {
  readonly #fill: (bytes: Uint8Array) => void
  readonly #pool = Buffer.alloc(poolBytes)
  #next = poolBytes

  constructor(fill: (bytes: Uint8Array) => void) {
    this.#fill = fill
  }

  #hex(bytes: number): string {
    if (this.#next + bytes > poolBytes) {
      this.#fill(this.#pool)
      this.#next = 0
    }
    const start = this.#next
    this.#next += bytes
    return this.#pool.toString('hex', start, this.#next)
  }

  #nonZeroHex(bytes: number): string {
    const id = this.#hex(bytes)
    return id === zeros[bytes] ? this.#nonZeroHex(bytes) : id
  }

  requestId(): string {
    return this.#hex(requestIdBytes)
  }

  traceId(): string {
    return this.#nonZeroHex(16)
  }

  spanId(): string {
    return this.#nonZeroHex(8)
  }
}

/** A source of ids; `random` fills an array with random bytes and is the system's by default. */
export function createIdSource(random: (bytes: Uint8Array) => void = (bytes) => void randomFillSync(bytes)): IdSource {
  return new PooledIds(random)
}
