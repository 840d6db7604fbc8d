/**
 * The one limiter that the relay layer asks. With Redis its verdict counts for all replicas, and the process's own table is kept
 * informed; without, or while Redis is away, the own table decides over this replica's share. It is never off, and what was used
 * meanwhile is charged in Redis with the next request of the same plan. GPU budgets go by the store meanwhile, and by this process's own use.
 *
 * An answer that was lost may have been a charge or a refusal. Where the request holds something, settling tells: what Redis turns out
 * not to know is charged then. Where it does not, and for what was owed, the charge is repeated: a limit is rather met early than passed.
 */
import type { Clock } from '../base/clock.ts'
import { skipped, type RedisStore } from '../store/redis-store.ts'
import type { Budgets } from './budget.ts'
import { MemoryLimiter, type Hold, type MemoryLimiterStats } from './memory-limiter.ts'
import type { LimitsOptions } from './options.ts'
import type { Plan } from './plan.ts'
import { RedisLimiter, type SharedHold } from './redis-limiter.ts'
import { Replicas } from './replicas.ts'
import { overBudget, type Verdict } from './verdict.ts'

export interface Decision {
  readonly verdict: Verdict
  /** What has to be settled at the end; null when nothing is held. */
  readonly reservation: Reservation | null
}

/** What one admitted request holds. */
export interface Reservation {
  /** Gives back what was reserved and charges `usedTokens`; only the first call counts. */
  settle(usedTokens: number): void
}

export interface LimiterStats extends MemoryLimiterStats {
  /** Decisions made without Redis although there is one. */
  readonly decidedAlone: number
  readonly replicas: number
}

export interface Limiter {
  readonly stats: LimiterStats
  /** Takes one request and `tokens` of every meter of the plan, or nothing; a budget that is used up denies. A promise only when Redis is asked. */
  admit(plan: Plan, id: string, tokens: number): Decision | Promise<Decision>
  start(): void
  close(): Promise<void>
}

export interface LimiterDeps {
  readonly clock: Clock
  readonly options: () => LimitsOptions
  readonly budgets: Budgets
  /** Null: this process counts alone. */
  readonly redis: RedisStore | null
  /** Unique to this process; also makes reservation ids unique across replicas. */
  readonly replica: string
  /** Whether a store takes the GPU time that is used here, so that Redis need not keep it; default false. */
  readonly hasStore?: boolean
  /** Processes on this machine that serve together, this one included; default 1. */
  readonly workers?: number
  /** Called once, when another gateway counts in the same Redis; default: nobody wants to know. */
  readonly onOthers?: () => void
}

/** A limiter for all meters of this process, shared by Redis where there is one. */
export function createLimiter(deps: LimiterDeps): Limiter {
  const memory = new MemoryLimiter(deps.clock, () => deps.options().placesMax)
  return deps.redis === null ? new LocalLimiter(memory, deps.budgets, deps.workers ?? 1) : new SharedLimiter(memory, deps.redis, deps)
}

/** The denial by the first budget that this process knows to be used up, or null. */
function denyByBudget(budgets: Budgets, plan: Plan): Decision | null {
  const spent = plan.budgets.length === 0 ? null : budgets.findSpent(plan.budgets)
  return spent === null ? null : { verdict: overBudget(spent), reservation: null }
}

class LocalLimiter implements Limiter {
  readonly #memory: MemoryLimiter
  readonly #budgets: Budgets
  readonly #workers: number

  constructor(memory: MemoryLimiter, budgets: Budgets, workers: number) {
    this.#memory = memory
    this.#budgets = budgets
    this.#workers = workers
  }

  get stats(): LimiterStats {
    return { ...this.#memory.stats, decidedAlone: 0, replicas: this.#workers }
  }

  admit(plan: Plan, _id: string, tokens: number): Decision {
    const denied = denyByBudget(this.#budgets, plan)
    if (denied !== null) return denied
    const { verdict, hold } = this.#memory.admit(plan, tokens, this.#workers)
    const reservation = hold !== null && plan.holds ? new HeldReservation(this.#memory, hold, null) : null
    return { verdict, reservation }
  }

  start(): void {}

  close(): Promise<void> {
    return Promise.resolve()
  }
}

class SharedLimiter implements Limiter {
  readonly #memory: MemoryLimiter
  readonly #budgets: Budgets
  readonly #shared: RedisLimiter
  readonly #replicas: Replicas
  readonly #replica: string
  #decidedAlone = 0

  constructor(memory: MemoryLimiter, redis: RedisStore, deps: LimiterDeps) {
    const { clock, options, budgets, replica, hasStore = false, workers = 1, onOthers = () => undefined } = deps
    this.#memory = memory
    this.#budgets = budgets
    this.#shared = new RedisLimiter({ redis, clock, budgets, replica, hasStore, leaseMs: () => options().reservationMs })
    this.#replicas = new Replicas(redis, clock, { name: replica, workers, onOthers })
    this.#replica = replica
  }

  get stats(): LimiterStats {
    return { ...this.#memory.stats, decidedAlone: this.#decidedAlone, replicas: this.#replicas.alive }
  }

  admit(plan: Plan, id: string, tokens: number): Decision | Promise<Decision> {
    const hold: SharedHold = { plan, id: `${this.#replica}:${id}`, tokens }
    const owed = this.#memory.takeOwed(plan)
    const asked = this.#shared.admit(hold, owed)
    if (asked === skipped) {
      if (owed !== null) this.#memory.oweAgain(plan, owed)
      return this.#decideAlone(plan, tokens, null)
    }
    return asked.then((verdict) => {
      if (verdict === skipped) {
        if (owed !== null) this.#memory.oweAgain(plan, owed)
        return this.#decideAlone(plan, tokens, hold)
      }
      if (!verdict.admitted) return { verdict, reservation: null }
      const own = this.#memory.record(plan, tokens, this.#replicas.alive)
      return {
        verdict,
        reservation: plan.holds ? new HeldReservation(this.#memory, own, { limiter: this.#shared, hold, isKnown: true }) : null,
      }
    })
  }

  start(): void {
    this.#shared.start()
    this.#replicas.start()
  }

  async close(): Promise<void> {
    await this.#shared.close()
    await this.#replicas.close()
  }

  /** `sent`: what Redis may have taken although its answer did not come; it is settled like the rest. */
  #decideAlone(plan: Plan, tokens: number, sent: SharedHold | null): Decision {
    this.#decidedAlone += 1
    const denied = denyByBudget(this.#budgets, plan)
    if (denied !== null) {
      if (sent !== null && plan.holds) this.#shared.settle(sent, 0, null)
      return denied
    }
    const alive = this.#replicas.alive
    const owes = sent === null || !plan.holds
    const { verdict, hold } = owes ? this.#memory.admitOwing(plan, tokens, alive) : this.#memory.admit(plan, tokens, alive)
    if (!plan.holds) return { verdict, reservation: null }
    const shared = sent === null ? null : { limiter: this.#shared, hold: sent, isKnown: false }
    if (hold !== null) return { verdict, reservation: new HeldReservation(this.#memory, hold, shared) }
    if (sent !== null) this.#shared.settle(sent, 0, null)
    return { verdict, reservation: null }
  }
}

/** What Redis may hold for a request. */
interface SharedPart {
  readonly limiter: RedisLimiter
  readonly hold: SharedHold
  /** False: the answer was lost. */
  readonly isKnown: boolean
}

class HeldReservation implements Reservation {
  readonly #memory: MemoryLimiter
  readonly #hold: Hold
  readonly #shared: SharedPart | null
  #settled = false

  constructor(memory: MemoryLimiter, hold: Hold, shared: SharedPart | null) {
    this.#memory = memory
    this.#hold = hold
    this.#shared = shared
  }

  settle(usedTokens: number): void {
    if (this.#settled) return
    this.#settled = true
    this.#memory.settle(this.#hold, usedTokens)
    if (this.#shared === null) return
    const { limiter, hold, isKnown } = this.#shared
    limiter.settle(hold, usedTokens, isKnown ? null : () => this.#memory.oweLate(this.#hold, usedTokens))
  }
}
