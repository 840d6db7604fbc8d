/**
 * GPU time used per day and month, in UTC, by tenant, credential and model class: what nodes report as prompt and output
 * evaluation, the honest unit for hardware that one owns. Kept in memory for a synchronous answer; `ledger-writer.ts` adds it to the store
 * in the same transaction as the usage rows, and brings back totals that include other replicas'; `shared-budgets.ts` tells the other
 * replicas at once, where there is a Redis.
 *
 * Invariant: a counter is what the store said last plus what it does not have of this process, in whole microseconds. Both are told
 * apart, because the sum of all replicas is what the store has, once, plus what each has not written. Where Redis told that sum it counts,
 * if it is more.
 * A budget stops the next request, not one under way: its cost is known only at its end.
 */
import type { Clock } from '../base/clock.ts'
import { type Calendar, calendarAt, dayNumberOf, type Period } from './budget-calendar.ts'
import { scopeKey, type BudgetLine, type Scope } from './plan.ts'

export interface CounterId {
  readonly tenant: string
  /** `t`, `c:<subject>` or `m:<class>`. */
  readonly place: string
  /** `2026-11-25` or `2026-11`. */
  readonly period: string
}

/** A counter as the store holds it. */
export interface StoredCounter extends CounterId {
  readonly gpuUs: number
}

/** A counter as this process knows it. */
export interface KnownCounter extends CounterId {
  /** The highest total that the store told. */
  readonly storedUs: number
  /** What this process used and that total does not hold. */
  readonly unwrittenUs: number
  /** All that this process used. */
  readonly ownUs: number
}

export interface Spent {
  readonly scope: Scope
  readonly period: Period
  readonly limitSeconds: number
  /** Milliseconds until the period ends. */
  readonly resetMs: number
}

/** A budget in the period that counts now. */
export interface PeriodBudget {
  readonly counter: KnownCounter
  readonly limitUs: number
  /** What is said when it is used up. */
  readonly spent: Spent
}

interface Counter {
  readonly id: CounterId
  storedUs: number
  /** To be written. */
  pendingUs: number
  /** Never to be written. */
  keptUs: number
  /** All that this process used, written or not. */
  ownUs: number
  /** What all used when Redis was asked last, and what this process used since. */
  sharedUs: number
  /** Whether a budget counts it, so that others want to know. */
  watched: boolean
}

const usPerSecond = 1_000_000

export class Budgets {
  readonly #clock: Clock
  readonly #countersMax: () => number
  readonly #counters = new Map<string, Counter>()
  #calendar: Calendar
  /** Hears which of the watched counters have changed; null: nobody does. */
  onChange: ((changed: readonly CounterId[]) => void) | null = null

  constructor(clock: Clock, countersMax: () => number) {
    this.#clock = clock
    this.#countersMax = countersMax
    this.#calendar = calendarAt(clock.wallMs())
  }

  /** The first budget that is used up, or null. */
  findSpent(lines: readonly BudgetLine[]): Spent | null {
    const wallMs = this.#clock.wallMs()
    const today = this.#today(wallMs)
    const spent = lines.find(({ key, period, limitSeconds }) => this.#usedUs(key, today[period]) >= limitSeconds * usPerSecond)
    return spent === undefined ? null : spentOf(spent, today, wallMs)
  }

  /** The budgets of `lines` in the periods that count now. Changes of their counters are told from now on. */
  watch(tenant: string, lines: readonly BudgetLine[]): readonly PeriodBudget[] {
    const wallMs = this.#clock.wallMs()
    const today = this.#today(wallMs)
    return lines.map((line) => {
      const id = { tenant, place: line.name, period: today[line.period] }
      this.#counter(id).watched = true
      return { counter: this.read(id), limitUs: line.limitSeconds * usPerSecond, spent: spentOf(line, today, wallMs) }
    })
  }

  /** What is known of a counter now. */
  read({ tenant, place, period }: CounterId): KnownCounter {
    const { storedUs = 0, pendingUs = 0, keptUs = 0, ownUs = 0 } = this.#counters.get(counterKey(tenant, place, period)) ?? {}
    return { tenant, place, period, storedUs, unwrittenUs: pendingUs + keptUs, ownUs }
  }

  /** The watched counters of which the store lacks some use of this process. */
  unwritten(): CounterId[] {
    const lacking = [...this.#counters.values()].filter(({ watched, pendingUs, keptUs }) => watched && pendingUs + keptUs !== 0)
    return lacking.map(({ id }) => id)
  }

  /** Counts GPU time of a request that ended now. Gives the counters it went to, for the store. */
  spend(tenant: string, places: readonly string[], gpuUs: number): readonly StoredCounter[] {
    if (gpuUs === 0) return []
    const { day, month } = this.#today(this.#clock.wallMs())
    const spent: StoredCounter[] = []
    for (const place of places) spent.push({ tenant, place, period: day, gpuUs }, { tenant, place, period: month, gpuUs })
    const changed = spent.map((id) => {
      const counter = this.#counter(id)
      counter.pendingUs += gpuUs
      counter.ownUs += gpuUs
      counter.sharedUs += gpuUs
      return counter
    })
    this.#tell(changed)
    return spent
  }

  /** The store has taken `written`, and its totals were `totals` a moment ago; they only grow, so an older reading changes nothing. */
  synchronise(written: readonly StoredCounter[], totals: readonly StoredCounter[]): void {
    // First: what is still to be written is not forgotten for want of room, nor its total with it.
    for (const total of totals) {
      const counter = this.#counter(total)
      counter.storedUs = Math.max(counter.storedUs, total.gpuUs)
    }
    const changed = written.map((part) => {
      const counter = this.#counter(part)
      counter.pendingUs -= part.gpuUs
      return counter
    })
    // Until the others hear that it was written, it counts twice for who reads the new total.
    this.#tell(changed)
  }

  /** What all replicas used, as Redis answered to `told`, one total for each counter. What was used here since is not in it. */
  learn(told: readonly KnownCounter[], totalsUs: readonly number[]): void {
    for (const [index, known] of told.entries()) {
      const counter = this.#counter(known)
      counter.sharedUs = (totalsUs[index] ?? 0) + Math.max(0, counter.ownUs - known.ownUs)
    }
  }

  /** Nobody will write `spent`: it counts in this process, and where it was told, alone. */
  keep(spent: readonly StoredCounter[]): void {
    for (const counter of spent) {
      const kept = this.#counter(counter)
      kept.pendingUs -= counter.gpuUs
      kept.keptUs += counter.gpuUs
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
    return counter === undefined ? 0 : Math.max(counter.storedUs + counter.pendingUs + counter.keptUs, counter.sharedUs)
  }

  #tell(changed: readonly Counter[]): void {
    if (this.onChange === null) return
    const told = changed.filter(({ watched }) => watched).map(({ id }) => id)
    if (told.length > 0) this.onChange(told)
  }

  #counter({ tenant, place, period }: CounterId): Counter {
    const key = counterKey(tenant, place, period)
    const known = this.#counters.get(key)
    if (known !== undefined) return known
    if (this.#counters.size >= this.#countersMax()) this.#forgetOne()
    const counter: Counter = { id: { tenant, place, period }, storedUs: 0, pendingUs: 0, keptUs: 0, ownUs: 0, sharedUs: 0, watched: false }
    this.#counters.set(key, counter)
    return counter
  }

  /**
   * Drops the oldest counter that is read back with the next write to it, or that no budget counts. What the store will never have is
   * known here alone: forgotten, it would be gone for all.
   */
  #forgetOne(): void {
    for (const [key, { pendingUs, keptUs, watched }] of this.#counters) {
      if (pendingUs !== 0 || (keptUs !== 0 && watched)) continue
      this.#counters.delete(key)
      return
    }
  }

  #today(wallMs: number): Calendar {
    if (dayNumberOf(wallMs) === this.#calendar.dayNumber) return this.#calendar
    this.#calendar = calendarAt(wallMs)
    const { day, month } = this.#calendar
    for (const [key, { id, pendingUs }] of this.#counters) {
      const { period } = id
      if (pendingUs === 0 && period !== day && period !== month) this.#counters.delete(key)
    }
    return this.#calendar
  }
}

function spentOf({ scope, period, limitSeconds }: BudgetLine, { endsAtMs }: Calendar, wallMs: number): Spent {
  return { scope, period, limitSeconds, resetMs: endsAtMs[period] - wallMs }
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
