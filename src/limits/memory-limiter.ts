/**
 * Limits of one process: all meters of a request are taken together or none is. Requests are charged when they are admitted;
 * tokens are *held* while a request runs and charged when its real number is known, so a bucket never shows more than was used
 * and an over-estimate costs nobody anything (reference/reliability-security.md §3.4, reserve → settle).
 *
 * Invariants: the table never exceeds `placesMax`; only a place that is idle (nothing held or under way, bucket empty) is
 * dropped, because dropping another would reset a limit that is in force; when the table is full of active places, new ones
 * share one place until room appears. With `shares` replicas each counts a whole share, at least 1: used while Redis is away.
 * A request whose tokens fit the limit but not the share is admitted when nothing else is held, and its excess is owed.
 */
import type { Clock } from '../base/clock.ts'
import { drained, partsPerUnit, standing, waitUs, type Standing } from './gcra.ts'
import type { Meter, Plan } from './plan.ts'
import { isTighter, type Dimension, type Verdict } from './verdict.ts'

/** What one place has used and promised. */
class Place {
  atUs: number
  requestParts = 0
  tokenParts = 0
  heldTokens = 0
  underWay = 0
  requestsLimit = 0
  tokensLimit = 0

  constructor(atUs: number) {
    this.atUs = atUs
  }

  /** Drains both buckets up to `nowUs`, at the limits in force since. */
  advance(nowUs: number): void {
    const elapsedUs = nowUs - this.atUs
    if (this.requestParts > 0) this.requestParts = drained(this.requestParts, this.requestsLimit, elapsedUs)
    if (this.tokenParts > 0) this.tokenParts = drained(this.tokenParts, this.tokensLimit, elapsedUs)
    this.atUs = nowUs
  }

  isIdle(nowUs: number): boolean {
    if (this.underWay > 0 || this.heldTokens > 0) return false
    this.advance(nowUs)
    return this.requestParts === 0 && this.tokenParts === 0
  }
}

/** What an admitted request holds until it is settled, once. */
export interface Hold {
  readonly plan: Plan
  readonly tokens: number
  readonly places: readonly Place[]
}

export interface MemoryLimiterStats {
  readonly places: number
  /** Times a place was counted together with others because the table was full. */
  readonly shared: number
}

/** Places looked at for an idle one when the table is full. */
const looksPerInsert = 64

export class MemoryLimiter {
  readonly #clock: Clock
  readonly #placesMax: () => number
  readonly #places = new Map<string, Place>()
  readonly #common: Place
  #sweep: MapIterator<[string, Place]>
  #shared = 0

  constructor(clock: Clock, placesMax: () => number) {
    this.#clock = clock
    this.#placesMax = placesMax
    this.#common = new Place(this.#nowUs())
    this.#sweep = this.#places.entries()
  }

  get stats(): MemoryLimiterStats {
    return { places: this.#places.size, shared: this.#shared }
  }

  /** Takes one request and `tokens` of every meter, or nothing. `hold` is null when denied. */
  admit(plan: Plan, tokens: number, shares = 1): { readonly verdict: Verdict; readonly hold: Hold | null } {
    const nowUs = this.#nowUs()
    const places = this.#placesOf(plan, nowUs, shares)
    const denied = findDenial(plan, places, tokens, shares)
    if (denied === null) take(plan, places, tokens)
    const standings = tightest(plan, places)
    if (denied !== null) return { verdict: { admitted: false, ...denied, standings }, hold: null }
    return { verdict: { admitted: true, standings }, hold: { plan, tokens, places } }
  }

  /** Counts a request that was admitted elsewhere, so that this table knows where it stands when it has to decide; at most a full share. */
  record(plan: Plan, tokens: number, shares = 1): Hold {
    const places = this.#placesOf(plan, this.#nowUs(), shares)
    take(plan, places, tokens)
    for (const place of places) {
      place.requestParts = Math.min(place.requestParts, place.requestsLimit * partsPerUnit)
      place.tokenParts = Math.min(place.tokenParts, place.tokensLimit * partsPerUnit)
    }
    return { plan, tokens, places }
  }

  /** Ends a hold: gives back what was reserved and charges what was used. Call it once; needless where `plan.holds` is false. */
  settle({ plan, tokens, places }: Hold, usedTokens: number): void {
    const nowUs = this.#nowUs()
    for (let index = 0; index < places.length; index += 1) {
      const place = places[index]
      const meter = plan.meters[index]
      if (place === undefined || meter === undefined || !holds(meter)) continue
      place.underWay -= 1
      if (meter.tokensPerMinute === null) continue
      place.advance(nowUs)
      place.heldTokens -= tokens
      place.tokenParts += usedTokens * partsPerUnit
    }
  }

  #nowUs(): number {
    return Math.floor(this.#clock.nowMs() * 1_000)
  }

  #placesOf({ meters }: Plan, nowUs: number, shares: number): Place[] {
    const places: Place[] = []
    for (const meter of meters) {
      const place = this.#places.get(meter.key) ?? this.#add(meter.key, nowUs)
      place.advance(nowUs)
      place.requestsLimit = shareOf(meter.requestsPerMinute ?? 0, shares)
      place.tokensLimit = shareOf(meter.tokensPerMinute ?? 0, shares)
      places.push(place)
    }
    return places
  }

  #add(key: string, nowUs: number): Place {
    if (this.#places.size >= this.#placesMax() && !this.#dropIdle(nowUs)) {
      this.#shared += 1
      return this.#common
    }
    const place = new Place(nowUs)
    this.#places.set(key, place)
    return place
  }

  #dropIdle(nowUs: number): boolean {
    for (let looks = 0; looks < looksPerInsert; looks += 1) {
      let { value, done } = this.#sweep.next()
      if (done === true) {
        this.#sweep = this.#places.entries()
        ;({ value, done } = this.#sweep.next())
      }
      if (value === undefined) return false
      if (!value[1].isIdle(nowUs)) continue
      this.#places.delete(value[0])
      return true
    }
    return false
  }
}

/** A replica's part of a limit, at least 1 where there is one. */
function shareOf(limit: number, shares: number): number {
  if (limit === 0 || shares <= 1) return limit
  return Math.max(1, Math.floor(limit / shares))
}

function take({ meters }: Plan, places: readonly Place[], tokens: number): void {
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
function holds({ tokensPerMinute, concurrency }: Meter): boolean {
  return tokensPerMinute !== null || concurrency !== null
}

interface Denial {
  readonly meter: Meter
  readonly dimension: Dimension
  readonly waitMs: number
}

/** The denial that lasts longest, or null. */
function findDenial({ meters }: Plan, places: readonly Place[], tokens: number, shares: number): Denial | null {
  let longest: Denial | null = null
  for (let index = 0; index < places.length; index += 1) {
    const place = places[index]
    const meter = meters[index]
    if (place === undefined || meter === undefined) continue
    const denial = denialBy(meter, place, tokens, shares)
    if (denial !== null && (longest === null || denial.waitMs > longest.waitMs)) longest = denial
  }
  return longest
}

/** How long a caller is told to wait for a place among those under way: nobody knows when one ends. */
export const concurrencyWaitMs = 1_000

function denialBy(meter: Meter, place: Place, tokens: number, shares: number): Denial | null {
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

function tightest({ meters }: Plan, places: readonly Place[]): { readonly requests: Standing | null; readonly tokens: Standing | null } {
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
