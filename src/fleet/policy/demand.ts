/**
 * How often each model is asked for, as a decaying count: what came five minutes ago weighs a third of what comes now. Feeds
 * the eviction price. Holds one entry per model that the fleet ever held.
 */

/** As long as Ollama's keep-alive: the stretch over which "wanted" decides whether a model stays in memory. */
const tauMs = 300_000

interface Count {
  value: number
  atMs: number
}

export class Demand {
  readonly #counts = new Map<string, Count>()

  /** One more request for this model. `nowMs` never runs backwards. */
  note(model: string, nowMs: number): void {
    const count = this.#counts.get(model)
    if (count === undefined) {
      this.#counts.set(model, { value: 1, atMs: nowMs })
      return
    }
    count.value = 1 + decayed(count, nowMs)
    count.atMs = nowMs
  }

  /** Requests for this model per millisecond, over the last minutes. */
  perMs(model: string, nowMs: number): number {
    const count = this.#counts.get(model)
    return count === undefined ? 0 : decayed(count, nowMs) / tauMs
  }
}

function decayed({ value, atMs }: Count, nowMs: number): number {
  return value * Math.exp((atMs - nowMs) / tauMs)
}
