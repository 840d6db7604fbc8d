/**
 * The generic cell rate algorithm in its leaky-bucket form (ITU-T I.371 annex A): a bucket of one minute's limit that drains at
 * the limit's rate. Pure: time is an argument, state two numbers.
 *
 * All arithmetic is on whole numbers that a double holds exactly: one unit (a request, a token) is 60,000,000 parts, and a
 * limit of L per minute drains L parts per microsecond. So a limit of 7 admits 7 and not 6 or 8, and a changed limit
 * needs no conversion. The bound that holds for every window of w minutes: admitted ≤ L + L·w.
 */

/** Parts of one unit: the microseconds of a minute. */
export const partsPerUnit = 60_000_000

/** What is left of a bucket at some moment. */
export interface Standing {
  /** Per minute. */
  readonly limit: number
  /** Whole units that would be admitted now. */
  readonly remaining: number
  /** Milliseconds until all of it is free again. */
  readonly resetMs: number
}

/** The parts still in a bucket that held `parts` at `atUs`. A clock that went back drains nothing. */
export function drained(parts: number, limit: number, elapsedUs: number): number {
  return elapsedUs <= 0 ? parts : Math.max(0, parts - limit * elapsedUs)
}

/** Microseconds until `cost` units fit beside `parts`; 0 when they fit now, Infinity when they never do. */
export function waitUs(parts: number, limit: number, cost: number): number {
  if (cost > limit) return Number.POSITIVE_INFINITY
  return Math.max(0, Math.ceil((parts + (cost - limit) * partsPerUnit) / limit))
}

/** Where a bucket with `parts` in it stands; `held` units are promised but not yet in it. */
export function standing(parts: number, limit: number, held = 0): Standing {
  const free = limit - held - parts / partsPerUnit
  return { limit, remaining: Math.max(0, Math.floor(free)), resetMs: Math.ceil(parts / limit / 1_000) }
}
