/**
 * A stream as it comes, kept in one growing buffer: whoever joins late gets a view of it, not a copy, in one write. Views
 * stay valid when the buffer grows. Bounded: over `limitBytes` nothing is kept any more.
 */
import type { Chunks } from './entry.ts'

const firstBytes = 8_192

export class Recording implements Chunks {
  readonly #limitBytes: number
  #buffer = Buffer.allocUnsafe(firstBytes)
  #used = 0
  #lengths: number[] = []
  #gapsMs: number[] = []
  #lastAtMs: number
  #complete = true

  constructor(limitBytes: number, nowMs: number) {
    this.#limitBytes = limitBytes
    this.#lastAtMs = nowMs
  }

  /** False once the stream was longer than the limit: there is nothing to join or to store. */
  get complete(): boolean {
    return this.#complete
  }

  /** All bytes so far, as a view. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#used)
  }

  get count(): number {
    return this.#lengths.length
  }

  lengthAt(index: number): number {
    return this.#lengths[index] ?? 0
  }

  gapMsAt(index: number): number {
    return this.#gapsMs[index] ?? 0
  }

  add(chunk: Buffer, nowMs: number): void {
    if (!this.#complete) return
    if (this.#used + chunk.length > this.#limitBytes) {
      this.drop()
      return
    }
    this.#makeRoom(chunk.length)
    chunk.copy(this.#buffer, this.#used)
    this.#used += chunk.length
    this.#lengths.push(chunk.length)
    this.#gapsMs.push(nowMs - this.#lastAtMs)
    this.#lastAtMs = nowMs
  }

  /** Forgets what it holds. */
  drop(): void {
    this.#complete = false
    this.#buffer = Buffer.alloc(0)
    this.#used = 0
    this.#lengths = []
    this.#gapsMs = []
  }

  #makeRoom(bytes: number): void {
    const needed = this.#used + bytes
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(grown, 0, 0, this.#used)
    this.#buffer = grown
  }
}
