/**
 * Limits shared by all replicas. Every call is one script (`scripts.ts`); the answer is a verdict, or `skipped` when Redis was not
 * asked or did not answer, and then the caller decides by itself. Renews the reservations of requests that run long, and settles
 * again later what Redis missed: a reservation's id makes that harmless.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { skipped, type RedisScript, type RedisStore, type Skipped } from '../store/redis-store.ts'
import type { Budgets, PeriodBudget } from './budget.ts'
import { standing, type Standing } from './gcra.ts'
import type { Owed } from './memory-limiter.ts'
import { concurrencyWaitMs, tokenWaitMs } from './place.ts'
import type { Meter, Plan } from './plan.ts'
import { admitScript, isNumbers, renewScript, settleScript } from './scripts.ts'
import { SharedBudgets } from './shared-budgets.ts'
import { isTighter, overBudget, type Dimension, type Standings, type Verdict } from './verdict.ts'

/** A reservation as Redis knows it. */
export interface SharedHold {
  readonly plan: Plan
  readonly id: string
  readonly tokens: number
}

interface LiveHold extends SharedHold {
  renewedAtMs: number
}

interface Unsettled {
  readonly hold: SharedHold
  readonly usedTokens: number
  readonly onUnknown: (() => void) | null
}

interface RedisLimiterDeps {
  readonly redis: RedisStore
  readonly clock: Clock
  readonly budgets: Budgets
  /** Unique to this process. */
  readonly replica: string
  /** Whether a store takes what is used here. */
  readonly hasStore: boolean
  readonly leaseMs: () => number
}

/** Settlements kept for later while Redis is away; the oldest are left to lapse. */
const unsettledMax = 10_000
const dimensions: readonly Dimension[] = ['requests', 'tokens', 'concurrency']

export class RedisLimiter {
  readonly #deps: RedisLimiterDeps
  readonly #admit: RedisScript
  readonly #settle: RedisScript
  readonly #renew: RedisScript
  readonly #budgets: SharedBudgets
  readonly #live = new Map<string, LiveHold>()
  readonly #unsettled: Unsettled[] = []
  #upkeep: Timer | null = null
  #closed = false

  constructor(deps: RedisLimiterDeps) {
    this.#deps = deps
    this.#admit = deps.redis.script(admitScript)
    this.#settle = deps.redis.script(settleScript)
    this.#renew = deps.redis.script(renewScript)
    this.#budgets = new SharedBudgets(deps)
  }

  /** Starts renewing. */
  start(): void {
    this.#schedule()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#upkeep?.cancel()
    await this.#budgets.close()
  }

  /** Takes every meter of the plan or none; a budget that is used up denies. `owed`, per meter, is charged in any case. */
  admit(hold: SharedHold, owed: readonly Owed[] | null): Promise<Verdict | Skipped> | Skipped {
    const { plan, tokens } = hold
    const keys = this.#keys(plan)
    const values: (string | number)[] = [member(hold), tokens, this.#deps.leaseMs(), plan.meters.length, this.#budgets.field]
    for (const [index, { requestsPerMinute, tokensPerMinute, concurrency }] of plan.meters.entries()) {
      const { requestParts = 0, tokenParts = 0 } = owed?.[index] ?? {}
      values.push(requestsPerMinute ?? -1, tokensPerMinute ?? -1, concurrency ?? -1, requestParts, tokenParts)
    }
    const budgets = this.#budgets.inForce(plan)
    for (const { counter, limitUs } of budgets) {
      keys.push(this.#budgets.keyOf(counter))
      values.push(limitUs, counter.storedUs, counter.unwrittenUs)
    }
    const answer = this.#admit.run(keys, values)
    return answer === skipped ? skipped : answer.then((reply) => this.#understand(hold, budgets, reply))
  }

  /** Gives back what was reserved and charges what was used; safe to repeat. `onUnknown`: called when Redis held nothing of it. */
  settle(hold: SharedHold, usedTokens: number, onUnknown: (() => void) | null): void {
    this.#live.delete(hold.id)
    if (this.#unsettled.length >= unsettledMax) this.#unsettled.shift()
    void this.#trySettle({ hold, usedTokens, onUnknown })
  }

  #understand(hold: SharedHold, budgets: readonly PeriodBudget[], reply: unknown): Verdict | Skipped {
    if (reply === skipped || !isNumbers(reply)) return skipped
    this.#budgets.learn(budgets, reply.slice(reply.length - budgets.length))
    const verdict = verdictOf(hold, budgets, reply)
    if (verdict.admitted && hold.plan.holds) this.#live.set(hold.id, { ...hold, renewedAtMs: this.#deps.clock.nowMs() })
    return verdict
  }

  async #trySettle(unsettled: Unsettled): Promise<boolean> {
    const { hold, usedTokens } = unsettled
    const values: (string | number)[] = [member(hold), hold.tokens, usedTokens, this.#deps.leaseMs()]
    for (const { requestsPerMinute, tokensPerMinute } of hold.plan.meters) values.push(requestsPerMinute ?? -1, tokensPerMinute ?? -1)
    const answer = await this.#settle.run(this.#keys(hold.plan), values)
    if (answer !== skipped) {
      if (answer === 0) unsettled.onUnknown?.()
      return true
    }
    this.#unsettled.push(unsettled)
    return false
  }

  /** The keys of each meter, all in the tenant's slot of a cluster. */
  #keys({ tenant, meters }: Plan): string[] {
    return meters.flatMap(({ name }) => {
      const key = `${this.#deps.redis.prefix}:limit:{${tenant}}:${name}`
      return [key, `${key}:held`]
    })
  }

  #schedule(): void {
    this.#upkeep = this.#deps.clock.after(this.#deps.leaseMs() / 6, () => void this.#keepUp())
  }

  async #keepUp(): Promise<void> {
    if (this.#deps.redis.state === 'up') {
      await this.#settleLate()
      await this.#budgets.tellLate()
      await this.#renewLive()
    }
    if (!this.#closed) this.#schedule()
  }

  async #settleLate(): Promise<void> {
    for (const unsettled of this.#unsettled.splice(0)) {
      if (this.#deps.redis.state === 'up') await this.#trySettle(unsettled)
      else this.#unsettled.push(unsettled)
    }
  }

  async #renewLive(): Promise<void> {
    const leaseMs = this.#deps.leaseMs()
    const dueMs = this.#deps.clock.nowMs() - leaseMs / 4
    for (const hold of this.#live.values()) {
      if (hold.renewedAtMs > dueMs) continue
      const sets = this.#keys(hold.plan).filter((_, index) => index % 2 === 1)
      const answer = await this.#renew.run(sets, [member(hold), leaseMs])
      if (answer === skipped) return
      hold.renewedAtMs = this.#deps.clock.nowMs()
    }
  }
}

function member({ id, tokens }: SharedHold): string {
  return `${id}|${tokens}`
}

const gpuDimension = 4

function verdictOf({ plan, tokens }: SharedHold, budgets: readonly PeriodBudget[], reply: readonly number[]): Verdict {
  const [denier = 0, dimension = 0, waitUs = 0, ...parts] = reply
  const budget = dimension === gpuDimension ? budgets[denier - 1] : undefined
  if (budget !== undefined) return overBudget(budget.spent)
  const standings = standingsOf(plan, parts)
  const meter = plan.meters[denier - 1]
  const which = dimensions[dimension - 1]
  if (meter === undefined || which === undefined) return { admitted: true, standings }
  return { admitted: false, meter, dimension: which, waitMs: waitMsOf(meter, which, { waitUs, tokens }), standings }
}

function waitMsOf({ tokensPerMinute }: Meter, dimension: Dimension, { waitUs, tokens }: { waitUs: number; tokens: number }): number {
  if (dimension === 'concurrency') return concurrencyWaitMs
  if (dimension === 'requests') return waitUs / 1_000
  return tokenWaitMs(waitUs < 0 ? Number.POSITIVE_INFINITY : waitUs, tokens, tokensPerMinute ?? 0)
}

function standingsOf({ meters }: Plan, parts: readonly number[]): Standings {
  let requests: Standing | null = null
  let tokens: Standing | null = null
  for (const [index, { requestsPerMinute, tokensPerMinute }] of meters.entries()) {
    const [requestParts = 0, tokenParts = 0, held = 0] = parts.slice(index * 3, index * 3 + 3)
    if (requestsPerMinute !== null) {
      const now = standing(requestParts, requestsPerMinute)
      if (isTighter(now, requests)) requests = now
    }
    if (tokensPerMinute !== null) {
      const now = standing(tokenParts, tokensPerMinute, held)
      if (isTighter(now, tokens)) tokens = now
    }
  }
  return { requests, tokens }
}
