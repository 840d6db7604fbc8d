/** What the cache counts. All of it only grows. */
import type { BypassReason } from './policy.ts'
import type { Refusal } from './storable.ts'

export interface Counters {
  /** Answers from a layer, by its name. */
  readonly hits: Record<string, number>
  misses: number
  joined: number
  /** Upstream calls made. */
  flights: number
  /** Of those: ended because everybody left. */
  abandoned: number
  readonly bypasses: Partial<Record<BypassReason, number>>
  /** Answers that were not kept, by reason. */
  readonly refusals: Partial<Record<Refusal, number>>
  failures: number
  /** Requests answered by the marker of a failure a moment ago. */
  failedFast: number
  /** Stale answers that stood in for a failure. */
  stoodIn: number
  /** Output tokens of answers that nobody had to generate. */
  tokensSaved: number
}

export function newCounters(): Counters {
  return {
    hits: {},
    misses: 0,
    joined: 0,
    flights: 0,
    abandoned: 0,
    bypasses: {},
    refusals: {},
    failures: 0,
    failedFast: 0,
    stoodIn: 0,
    tokensSaved: 0,
  }
}

/** Adds one to a counter that may not be there yet. */
export function count<Name extends string>(counters: Partial<Record<Name, number>>, name: Name): void {
  counters[name] = (counters[name] ?? 0) + 1
}
