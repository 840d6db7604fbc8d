/**
 * What looking up vectors took lately, so that the planner goes by this machine and this store. Kept per table and way, as milliseconds per
 * compared vector for exact scans and per search for indexes; a moving average, so that one slow moment does not turn every plan. Bounded;
 * the longest unused goes first.
 */

/** Tables remembered. */
const entriesMax = 2_000
/** Share of the newest measurement. */
const newestShare = 0.2
/** A single measurement moves the average at most by this factor: a stall is not a cost. */
const stretchMax = 4

export class MeasuredCost {
  readonly #averages = new Map<string, number>()

  /** Milliseconds per unit; `fallback` before the first measurement. */
  of(key: string, fallback: number): number {
    return this.#averages.get(key) ?? fallback
  }

  /** Takes in that `units` took `tookMs`. */
  add(key: string, { tookMs, units, fallback }: { readonly tookMs: number; readonly units: number; readonly fallback: number }): void {
    if (units <= 0) return
    const before = this.of(key, fallback)
    const now = Math.min(Math.max(tookMs / units, before / stretchMax), before * stretchMax)
    this.#averages.delete(key)
    this.#averages.set(key, before + (now - before) * newestShare)
    for (const oldest of this.#averages.keys()) {
      if (this.#averages.size <= entriesMax) break
      this.#averages.delete(oldest)
    }
  }
}
