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
import { partsPerUnit } from './gcra.ts'
import { findDenial, holds, Place, shareOf, take, tightest } from './place.ts'
import type { Plan } from './plan.ts'
import type { Verdict } from './verdict.ts'

/** What an admitted request holds until it is settled, once. */
export interface Hold {
  readonly plan: Plan
  readonly tokens: number
  readonly places: readonly Place[]
  /** Whether it was admitted while Redis was not asked: what it uses is owed to Redis. */
  readonly owing: boolean
}

/** What one meter owes to Redis, in parts (`gcra.ts`). */
export interface Owed {
  readonly requestParts: number
  readonly tokenParts: number
}

const nothingOwed: Owed = { requestParts: 0, tokenParts: 0 }

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
  #owing = false

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
    const denied = findDenial(plan, places, { tokens, shares })
    if (denied === null) take(plan, places, tokens)
    const standings = tightest(plan, places)
    if (denied !== null) return { verdict: { admitted: false, ...denied, standings }, hold: null }
    return { verdict: { admitted: true, standings }, hold: { plan, tokens, places, owing: false } }
  }

  /** The same while Redis is away: what is taken is owed to it. */
  admitOwing(plan: Plan, tokens: number, shares: number): { readonly verdict: Verdict; readonly hold: Hold | null } {
    const { verdict, hold } = this.admit(plan, tokens, shares)
    if (hold === null) return { verdict, hold }
    this.#owing = true
    for (const [index, place] of hold.places.entries()) {
      if (plan.meters[index]?.requestsPerMinute !== null) place.owedRequestParts += partsPerUnit
    }
    return { verdict, hold: { ...hold, owing: true } }
  }

  /** What was admitted here, and settled, is owed to Redis after all, which turned out not to know of it. */
  oweLate({ plan, places }: Hold, usedTokens: number): void {
    const nowUs = this.#nowUs()
    this.#owing = true
    for (const [index, place] of places.entries()) {
      const meter = plan.meters[index]
      if (meter === undefined) continue
      place.advance(nowUs)
      if (meter.requestsPerMinute !== null) place.owedRequestParts += partsPerUnit
      if (meter.tokensPerMinute !== null) place.owedTokenParts += usedTokens * partsPerUnit
    }
  }

  /** Request and token parts that each meter of the plan owes to Redis, no longer owed from now on; null when nothing is. */
  takeOwed({ meters }: Plan): readonly Owed[] | null {
    if (!this.#owing) return null
    const nowUs = this.#nowUs()
    let sum = 0
    const owed = meters.map(({ key }) => {
      const place = this.#places.get(key)
      if (place === undefined) return nothingOwed
      place.advance(nowUs)
      const { owedRequestParts: requestParts, owedTokenParts: tokenParts } = place
      place.owedRequestParts = 0
      place.owedTokenParts = 0
      sum += requestParts + tokenParts
      return { requestParts, tokenParts }
    })
    return sum === 0 ? null : owed
  }

  /** Redis did not take it after all. */
  oweAgain({ meters }: Plan, owed: readonly Owed[]): void {
    for (const [index, { key }] of meters.entries()) {
      const place = this.#places.get(key)
      if (place === undefined) continue
      place.owedRequestParts += owed[index]?.requestParts ?? 0
      place.owedTokenParts += owed[index]?.tokenParts ?? 0
    }
  }

  /** Counts a request that was admitted elsewhere, so that this table knows where it stands when it has to decide; at most a full share. */
  record(plan: Plan, tokens: number, shares = 1): Hold {
    const places = this.#placesOf(plan, this.#nowUs(), shares)
    take(plan, places, tokens)
    for (const place of places) {
      place.requestParts = Math.min(place.requestParts, place.requestsLimit * partsPerUnit)
      place.tokenParts = Math.min(place.tokenParts, place.tokensLimit * partsPerUnit)
    }
    return { plan, tokens, places, owing: false }
  }

  /** Ends a hold: gives back what was reserved and charges what was used. Call it once; needless where `plan.holds` is false. */
  settle({ plan, tokens, places, owing }: Hold, usedTokens: number): void {
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
      if (owing) place.owedTokenParts += usedTokens * partsPerUnit
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
