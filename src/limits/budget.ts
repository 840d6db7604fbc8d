/**
 * GPU time used per day and month, in UTC, by tenant, credential and model class: what nodes report as prompt and output
 * evaluation, the honest unit for hardware that one owns. Kept in memory for a synchronous answer; `ledger-writer.ts` adds it to the store
 * in the same transaction as the usage rows, and brings back totals that include other replicas'.
 *
 * Invariant: a counter is what the store said last plus what this process has not written yet, in whole microseconds.
 * A budget stops the next request, not one under way: its cost is known only at its end.
 */
import type { Clock } from '../base/clock.ts'
import { scopeKey, type BudgetLine, type Scope } from './plan.ts'

export type Period = 'day' | 'month'

/** A counter as the store holds it. */
export interface StoredCounter {
  readonly tenant: string
  /** `t`, `c:<subject>` or `m:<class>`. */
  readonly place: string
  /** `2026-11-25` or `2026-11`. */
  readonly period: string
  readonly gpuUs: number
}

export interface Spent {
  readonly scope: Scope
  readonly period: Period
  readonly limitSeconds: number
  /** Milliseconds until the period ends. */
  readonly resetMs: number
}

interface Counter {
  readonly period: string
  storedUs: number
  pendingUs: number
}

const usPerSecond = 1_000_000
const msPerDay = 86_400_000

interface Calendar {
  readonly dayNumber: number
  readonly day: string
  readonly month: string
  readonly dayEndsAtMs: number
  readonly monthEndsAtMs: number
}

export class Budgets {
  readonly #clock: Clock
  readonly #countersMax: () => number
  readonly #counters = new Map<string, Counter>()
  #calendar: Calendar

  constructor(clock: Clock, countersMax: () => number) {
    this.#clock = clock
    this.#countersMax = countersMax
    this.#calendar = calendarAt(clock.wallMs())
  }

  /** The first budget that is used up, or null. */
  findSpent(lines: readonly BudgetLine[]): Spent | null {
    const wallMs = this.#clock.wallMs()
    const { day, month, dayEndsAtMs, monthEndsAtMs } = this.#today(wallMs)
    for (const { scope, key, secondsPerDay, secondsPerMonth } of lines) {
      if (secondsPerMonth !== null && this.#usedUs(key, month) >= secondsPerMonth * usPerSecond) {
        return { scope, period: 'month', limitSeconds: secondsPerMonth, resetMs: monthEndsAtMs - wallMs }
      }
      if (secondsPerDay !== null && this.#usedUs(key, day) >= secondsPerDay * usPerSecond) {
        return { scope, period: 'day', limitSeconds: secondsPerDay, resetMs: dayEndsAtMs - wallMs }
      }
    }
    return null
  }

  /** Counts GPU time of a request that ended now. Gives the counters it went to, for the store. */
  spend(tenant: string, places: readonly string[], gpuUs: number): readonly StoredCounter[] {
    if (gpuUs === 0) return []
    const { day, month } = this.#today(this.#clock.wallMs())
    const spent: StoredCounter[] = []
    for (const place of places) spent.push({ tenant, place, period: day, gpuUs }, { tenant, place, period: month, gpuUs })
    for (const counter of spent) this.#counter(counter).pendingUs += gpuUs
    return spent
  }

  /** The store has taken `written`, and its totals were `totals` a moment ago; they only grow, so an older reading changes nothing. */
  synchronise(written: readonly StoredCounter[], totals: readonly StoredCounter[]): void {
    for (const counter of written) this.#counter(counter).pendingUs -= counter.gpuUs
    for (const total of totals) {
      const counter = this.#counter(total)
      counter.storedUs = Math.max(counter.storedUs, total.gpuUs)
    }
  }

  /** Nobody will write `spent`: it counts here alone, until the process ends. */
  keep(spent: readonly StoredCounter[]): void {
    for (const counter of spent) {
      const kept = this.#counter(counter)
      kept.pendingUs -= counter.gpuUs
      kept.storedUs += counter.gpuUs
    }
  }

  /** Seconds used so far. */
  usedSeconds(tenant: string, place: string, period: Period): number {
    return this.#usedUs(scopeKey(tenant, place), this.#today(this.#clock.wallMs())[period]) / usPerSecond
  }

  /** The periods that count now, for reading them back. */
  periods(): readonly [day: string, month: string] {
    const { day, month } = this.#today(this.#clock.wallMs())
    return [day, month]
  }

  #usedUs(key: string, period: string): number {
    const counter = this.#counters.get(scopeKey(key, period))
    return counter === undefined ? 0 : counter.storedUs + counter.pendingUs
  }

  #counter({ tenant, place, period }: StoredCounter): Counter {
    const key = counterKey(tenant, place, period)
    const known = this.#counters.get(key)
    if (known !== undefined) return known
    if (this.#counters.size >= this.#countersMax()) this.#forgetOne()
    const counter: Counter = { period, storedUs: 0, pendingUs: 0 }
    this.#counters.set(key, counter)
    return counter
  }

  /** Drops the oldest counter; one that still counts is read back with the next write to it. */
  #forgetOne(): void {
    for (const [key, { pendingUs }] of this.#counters) {
      if (pendingUs !== 0) continue
      this.#counters.delete(key)
      return
    }
  }

  #today(wallMs: number): Calendar {
    if (Math.floor(wallMs / msPerDay) === this.#calendar.dayNumber) return this.#calendar
    this.#calendar = calendarAt(wallMs)
    const { day, month } = this.#calendar
    for (const [key, { period, pendingUs }] of this.#counters) {
      if (pendingUs === 0 && period !== day && period !== month) this.#counters.delete(key)
    }
    return this.#calendar
  }
}

/** The same, one for each counter. */
export function summed(spent: readonly (readonly StoredCounter[])[]): StoredCounter[] {
  const sums = new Map<string, StoredCounter>()
  for (const part of spent) {
    for (const { tenant, place, period, gpuUs } of part) {
      const key = counterKey(tenant, place, period)
      sums.set(key, { tenant, place, period, gpuUs: (sums.get(key)?.gpuUs ?? 0) + gpuUs })
    }
  }
  return [...sums.values()]
}

function counterKey(tenant: string, place: string, period: string): string {
  return scopeKey(scopeKey(tenant, place), period)
}

function calendarAt(wallMs: number): Calendar {
  const date = new Date(wallMs)
  const day = date.toISOString().slice(0, 10)
  const dayNumber = Math.floor(wallMs / msPerDay)
  return {
    dayNumber,
    day,
    month: day.slice(0, 7),
    dayEndsAtMs: (dayNumber + 1) * msPerDay,
    monthEndsAtMs: Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1),
  }
}
