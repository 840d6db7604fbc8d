/** What a limiter says of a request: a value, never an exception. */
import type { Standing } from './gcra.ts'
import type { Meter } from './plan.ts'

export type Dimension = 'requests' | 'tokens' | 'concurrency'

/** The tightest bucket of each kind, for the response headers. Null: none of this kind. */
export interface Standings {
  readonly requests: Standing | null
  readonly tokens: Standing | null
}

export interface Admitted {
  readonly admitted: true
  readonly standings: Standings
}

export interface Denied {
  readonly admitted: false
  readonly meter: Meter
  readonly dimension: Dimension
  /** Milliseconds until it could be admitted, as far as can be told; Infinity when it is over the limit by itself. */
  readonly waitMs: number
  readonly standings: Standings
}

export type Verdict = Admitted | Denied

/** Whether `one` leaves a smaller share of its limit than `other`. */
export function isTighter(one: Standing, other: Standing | null): boolean {
  return other === null || one.remaining * other.limit < other.remaining * one.limit
}
