/** What a limiter says of a request: a value, never an exception. */
import type { Spent } from './budget.ts'
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

export interface OverLimit {
  readonly admitted: false
  readonly meter: Meter
  readonly dimension: Dimension
  /** Milliseconds until it could be admitted, as far as can be told; Infinity when it is over the limit by itself. */
  readonly waitMs: number
  readonly standings: Standings
}

export interface OverBudget {
  readonly admitted: false
  readonly dimension: 'gpu'
  readonly spent: Spent
  /** None: how the meters stand is of no use to who has to wait for the budget. */
  readonly standings: Standings
}

/** The denial by a budget that is used up. */
export function overBudget(spent: Spent): OverBudget {
  return { admitted: false, dimension: 'gpu', spent, standings: { requests: null, tokens: null } }
}

export type Denied = OverLimit | OverBudget

export type Verdict = Admitted | Denied

/** Whether `one` leaves a smaller share of its limit than `other`. */
export function isTighter(one: Standing, other: Standing | null): boolean {
  return other === null || one.remaining * other.limit < other.remaining * one.limit
}
