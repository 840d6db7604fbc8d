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
  /** Whether it takes the place of an entry that is there: a client wanted a new one, or what was found was too old. */
  readonly replaces: boolean
}

/** Whose turn it is to ask upstream, among all replicas. */
export type Turn =
  /** Ours. `release` when the answer is stored where the others look, or will never be; the lease ends by itself when we die. */
  | { readonly isOurs: true; readonly release: () => void }
  /** Another's. `over` resolves, never rejects, when that one released it or its lease ran out, or at `leave`. */
  | { readonly isOurs: false; readonly over: Promise<void>; readonly leave: () => void }

/** One upstream call per key over all replicas. Never load-bearing: where it cannot be asked, each replica asks upstream itself. */
export interface FlightLease {
  /** Null without a promise: cannot be asked now. A rejection counts as that too. */
  acquire(key: string): Promise<Turn> | null
  /** Gives up all turns. */
  close?(): void
}

export interface KeyedBytes {
  readonly key: string
  readonly bytes: Buffer
}

export interface SecondLayer {
  /** Short and closed: `detail` of `Cache-Status` and metric label, e.g. `redis`, `postgres`. */
  readonly name: string
  /** Entries that gave way to others so far, by this process; left out by a layer that cannot tell. */
  readonly evictions?: number
  /** What it stands on is there. */
  start?(): void
  close?(): void
  /** Null without a promise: the layer is down, skip it. A failure is a miss. `tags`: those of the entry that is looked for. */
  get(key: string, tags: Tags): Promise<FoundEntry | null> | null
  /** Several at once, for kinds whose entries come in batches: those that are there, by key. */
  getMany?(keys: readonly string[], tags: Tags): Promise<ReadonlyMap<string, FoundEntry>> | null
  /**
   * Keeps the entry, unless there is one that it does not replace (the first writer wins, so that all see one answer). Resolves true
   * when one is there now, false when it is none for this layer. Null: the layer is down. A failure rejects.
   */
  put(key: string, bytes: Buffer, facts: StoredFacts): Promise<boolean> | null
  /** Several of the same tags and times. */
  putMany?(entries: readonly KeyedBytes[], facts: StoredFacts): Promise<boolean> | null
  /** Deletes one entry, e.g. a corrupt one. */
  delete(key: string, tags: Tags): Promise<void> | null
  /** Deletes what the selector means, as far as the layer can find it; resolves with how many, null when it cannot say. */
  purge(selector: ResolvedSelector): Promise<number | null> | null
}
