/**
 * A growing list of numbers and the order statistics a bench reports. Exact, not estimated: a run keeps every
 * value, in one typed array that doubles.
 */
import type { Spread } from './load-spec.ts'

export class Samples {
  #values = new Float64Array(1_024)
  #count = 0

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#count * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#count] = value
    this.#count += 1
  }

  /** Order statistics, in the unit of the values; zeros when there are none. */
  spread(): Spread {
    const sorted = this.#values.subarray(0, this.#count).toSorted()
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
    return { count: this.#count, p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), max: at(1) }
  }
}

/** Middle value of `values`; the mean of the two middle ones for an even count; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}
