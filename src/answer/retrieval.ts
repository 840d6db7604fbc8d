/** One search within its share of the caller's deadline: the client leaving and the time running out both end it. */
import type { Clock } from '../base/clock.ts'
import { shareOfTime, within } from '../base/within.ts'
import type { Call } from '../core/call.ts'
import type { SearchAnswer, SearchRequest } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'

export interface SearchLimits {
  readonly signal: AbortSignal
  readonly call: Call
  /** The client's, for what they say of caching. */
  readonly headers: readonly string[]
  /** Pattern of the route by which the client came. */
  readonly route: string
  /** On the clock's `nowMs`: when `signal` aborts at the latest. What may be left out (vectors, reranking) is given up in time before. */
  readonly endsAtMs: number
}

/** Searches; `signal` aborts it. Rejects with a `CorralError`. */
export type Search = (request: SearchRequest, limits: SearchLimits) => Promise<SearchAnswer>

export interface RetrievalLimits {
  /** Share of the remaining time, 0–1. */
  readonly retrievalShare: number
  readonly retrievalMs: number
}

/** Milliseconds that retrieval may take now. */
export function retrievalLimitMs({ deadlineAtMs }: Pick<Call, 'deadlineAtMs'>, nowMs: number, limits: RetrievalLimits): number {
  return shareOfTime(deadlineAtMs, nowMs, { share: limits.retrievalShare, msMax: limits.retrievalMs })
}

/** The search's answer; `store_timeout` when it does not come in `limitMs`, `client_gone` when nobody waits any more. */
export async function searchWithin(
  request: SearchRequest,
  call: Call,
  { search, clock, headers, route, limitMs }: WithinOptions,
): Promise<SearchAnswer> {
  const gone = new AbortController()
  const onGone = (): void => gone.abort(new CorralError('client_gone', 'the client left during retrieval'))
  const late = (): Error => new CorralError('store_timeout', `retrieval did not end within ${Math.round(limitMs)} ms`)
  const endsAtMs = clock.nowMs() + limitMs
  call.signal.on(onGone)
  try {
    return await within({ limitMs, clock, signal: gone.signal, late }, (signal) =>
      search(request, { signal, call, headers, route, endsAtMs }),
    )
  } finally {
    call.signal.off(onGone)
  }
}

export interface WithinOptions extends Pick<SearchLimits, 'headers' | 'route'> {
  readonly search: Search
  readonly clock: Clock
  readonly limitMs: number
}
