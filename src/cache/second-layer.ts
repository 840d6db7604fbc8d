/**
 * What a layer behind memory (Redis, Postgres) has to offer. Such a layer is never load-bearing: it bounds each call by its
 * own timeout, answers null at once (`skip`) while it is known to be down, and reports a failure as a miss.
 *
 * Ages come from the layer's own clock, never from comparing the wall clocks of two hosts.
 */
import type { ResolvedSelector, Tags } from './tags.ts'

export interface FoundEntry {
  readonly bytes: Buffer
  /** Milliseconds since its content was made, and until it is stale (negative when it is). */
  readonly ageMs: number
  readonly freshForMs: number
}

export interface StoredFacts {
  /** Milliseconds since its content was made. */
  readonly ageMs: number
  /** Milliseconds until it is stale. */
  readonly freshForMs: number
  /** How long a stale entry is kept beyond that, in ms. */
  readonly staleMs: number
  /** Milliseconds that making it took: a layer may keep the dear ones only. */
  readonly originMs: number
  readonly tags: Tags
}

export interface SecondLayer {
  /** Short and closed: `detail` of `Cache-Status` and metric label, e.g. `redis`, `postgres`. */
  readonly name: string
  /** Null without a promise: the layer is down, skip it. A failure is a miss. */
  get(key: string): Promise<FoundEntry | null> | null
  /** Keeps the entry, unless there is one (the first writer wins, so that all see one answer). A failure is its own affair. */
  put(key: string, bytes: Buffer, facts: StoredFacts): Promise<void> | null
  /** Deletes one entry, e.g. a corrupt one. */
  delete(key: string): Promise<void> | null
  /** Deletes what the selector means, as far as the layer can find it; resolves with how many, null when it cannot say. */
  purge(selector: ResolvedSelector): Promise<number | null> | null
}
