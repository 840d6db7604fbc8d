/**
 * What a place (tenant, credential, class) has used and promised, and what that means for one request: a denial, or what it
 * takes. No table and no time source here: `memory-limiter.ts` has both.
 */
import { drained, partsPerUnit, standing, waitUs, type Standing } from './gcra.ts'
import type { Meter, Plan } from './plan.ts'
import { isTighter, type Dimension, type Standings } from './verdict.ts'

/** What one place has used and promised. */
export class Place {
  atUs: number
  requestParts = 0
  tokenParts = 0
  heldTokens = 0
  underWay = 0
  requestsLimit = 0
  tokensLimit = 0
  /** Of what is in the buckets, the part that Redis does not know. */
  owedRequestParts = 0
  owedTokenParts = 0

  constructor(atUs: number) {
    this.atUs = atUs
  }

  /** Drains both buckets up to `nowUs`, at the limits in force since. */
  advance(nowUs: number): void {
    const elapsedUs = nowUs - this.atUs
    if (this.requestParts > 0) this.requestParts = drained(this.requestParts, this.requestsLimit, elapsedUs)
    if (this.tokenParts > 0) this.tokenParts = drained(this.tokenParts, this.tokensLimit, elapsedUs)
    if (this.owedRequestParts > 0) this.owedRequestParts = drained(this.owedRequestParts, this.requestsLimit, elapsedUs)
    if (this.owedTokenParts > 0) this.owedTokenParts = drained(this.owedTokenParts, this.tokensLimit, elapsedUs)
    this.atUs = nowUs
  }

  isIdle(nowUs: number): boolean {
    if (this.underWay > 0 || this.heldTokens > 0) return false
    this.advance(nowUs)
    return this.requestParts === 0 && this.tokenParts === 0
  }
}

/** A replica's part of a limit, at least 1 where there is one. */
export function shareOf(limit: number, shares: number): number {
  if (limit === 0 || shares <= 1) return limit
  return Math.max(1, Math.floor(limit / shares))
}

/** Takes one request and `tokens` of every meter, without asking. */
export function take({ meters }: Plan, places: readonly Place[], tokens: number): void {
  for (let index = 0; index < places.length; index += 1) {
    const place = places[index]
    const meter = meters[index]
    if (place === undefined || meter === undefined) continue
    if (meter.requestsPerMinute !== null) place.requestParts += partsPerUnit
    if (meter.tokensPerMinute !== null) place.heldTokens += tokens
    if (holds(meter)) place.underWay += 1
  }
}

/** Whether a request keeps something of this meter until it is settled. */
export function holds({ tokensPerMinute, concurrency }: Meter): boolean {
  return tokensPerMinute !== null || concurrency !== null
}

/** What one request wants, of how large a share. */
export interface Asked {
  readonly tokens: number
  readonly shares: number
}

export interface Denial {
  readonly meter: Meter
  readonly dimension: Dimension
  readonly waitMs: number
}

/** The denial that lasts longest, or null. */
export function findDenial({ meters }: Plan, places: readonly Place[], asked: Asked): Denial | null {
  let longest: Denial | null = null
  for (let index = 0; index < places.length; index += 1) {
    const place = places[index]
    const meter = meters[index]
    if (place === undefined || meter === undefined) continue
    const denial = denialBy(meter, place, asked)
    if (denial !== null && (longest === null || denial.waitMs > longest.waitMs)) longest = denial
  }
  return longest
}

/** How long a caller is told to wait for a place among those under way: nobody knows when one ends. */
export const concurrencyWaitMs = 1_000

function denialBy(meter: Meter, place: Place, { tokens, shares }: Asked): Denial | null {
  const { requestsPerMinute, tokensPerMinute, concurrency } = meter
  if (tokensPerMinute !== null) {
    const asked = tokens > tokensPerMinute ? tokens : Math.min(tokens, place.tokensLimit)
    const wait = waitUs(place.tokenParts, place.tokensLimit, place.heldTokens + asked)
    if (wait > 0) return { meter, dimension: 'tokens', waitMs: tokenWaitMs(wait, tokens, tokensPerMinute) }
  }
  if (requestsPerMinute !== null) {
    const wait = waitUs(place.requestParts, place.requestsLimit, 1)
    if (wait > 0) return { meter, dimension: 'requests', waitMs: wait / 1_000 }
  }
  if (concurrency !== null && place.underWay >= shareOf(concurrency, shares)) {
    return { meter, dimension: 'concurrency', waitMs: concurrencyWaitMs }
  }
  return null
}

/** Infinite only for a request that is over the limit by itself; one that is in the way of held tokens can wait for them. */
export function tokenWaitMs(wait: number, tokens: number, limit: number): number {
  if (tokens > limit) return Number.POSITIVE_INFINITY
  return Number.isFinite(wait) ? wait / 1_000 : concurrencyWaitMs
}

/** The buckets that leave the smallest share. */
export function tightest({ meters }: Plan, places: readonly Place[]): Standings {
  let requests: Standing | null = null
  let tokens: Standing | null = null
  for (let index = 0; index < places.length; index += 1) {
    const place = places[index]
    const meter = meters[index]
    if (place === undefined || meter === undefined) continue
    if (meter.requestsPerMinute !== null) {
      const now = standing(place.requestParts, place.requestsLimit)
      if (isTighter(now, requests)) requests = now
    }
    if (meter.tokensPerMinute !== null) {
      const now = standing(place.tokenParts, place.tokensLimit, place.heldTokens)
      if (isTighter(now, tokens)) tokens = now
    }
  }
  return { requests, tokens }
}
