/** Whether an entry of the cache may answer, by its age and what the client said about caching (RFC 9111 §5.2.1, RFC 5861 §4). */
import type { InferenceRequest } from '../core/relay.ts'
import { type Directives, noDirectives, readDirectives } from '../wire/cache-directives.ts'
import type { CacheOptions } from './options.ts'

/** What a request says, where it is heard (`cache.clientControl`). */
export function directivesOf(
  { headers }: Pick<InferenceRequest, 'headers'>,
  { clientControl }: Pick<CacheOptions, 'clientControl'>,
): Directives {
  return clientControl ? readDirectives(headers) : noDirectives
}

/** How old an entry is and how long it lasts, in ms, by the monotonic clock of whoever asks. */
export interface EntryAge {
  readonly ageMs: number
  /** Until it is stale; negative when it is. */
  readonly freshForMs: number
}

export type Freshness = 'fresh' | 'stale' | 'unusable'

/** Whether an entry may answer. `staleMsMax`: how stale an answer the operator allows at most. */
export function judgeAge(directives: Directives, { ageMs, freshForMs }: EntryAge, staleMsMax: number): Freshness {
  if (directives.maxAgeSeconds !== null && ageMs > directives.maxAgeSeconds * 1_000) return 'unusable'
  if (freshForMs >= (directives.minFreshSeconds ?? 0) * 1_000 && freshForMs > 0) return 'fresh'
  if (freshForMs > 0) return 'unusable'
  const allowedMs = Math.min(staleMsMax, (directives.maxStaleSeconds ?? 0) * 1_000)
  return directives.maxStaleSeconds !== null && -freshForMs <= allowedMs ? 'stale' : 'unusable'
}

/** Whether a stale entry may stand in for an answer that failed. */
export function mayStandIn(directives: Directives, { freshForMs }: EntryAge, staleMsMax: number): boolean {
  if (directives.staleIfErrorSeconds === null) return false
  return -freshForMs <= Math.min(staleMsMax, directives.staleIfErrorSeconds * 1_000)
}
