/**
 * GPU time of all replicas, counted in Redis: a budget that is used up on one of them is used up on all with the end of the answer that
 * did it. Each replica says what it knows of a counter (`scripts.ts`) when a request asks for admission, when an answer ends, and when its
 * use was written to the store. So an empty Redis is filled again by whoever asks next, from the store's totals, and a message that
 * was lost is made up for by the next one. While Redis is away each goes on from the sum it heard last, and the store alone brings the
 * others' use (`budget.ts`), some seconds late.
 *
 * Invariant: once each replica has spoken since Redis was empty, the sum in Redis is what all used, but for messages on their way. One
 * that wrote its use and has not said so yet counts twice; if it dies there, that batch does until the period ends.
 */
import { skipped, type RedisScript, type RedisStore } from '../store/redis-store.ts'
import type { Budgets, CounterId, PeriodBudget } from './budget.ts'
import type { Plan } from './plan.ts'
import { isNumbers, tellScript } from './scripts.ts'

interface SharedBudgetsDeps {
  readonly redis: RedisStore
  readonly budgets: Budgets
  /** Unique to this process. */
  readonly replica: string
}

/** Counters that Redis is still to be told of; further ones are told with the next request that asks for them. */
const untoldMax = 10_000

export class SharedBudgets {
  readonly #deps: SharedBudgetsDeps
  readonly #tellScript: RedisScript
  readonly #untold = new Map<string, CounterId>()
  readonly #telling = new Set<Promise<void>>()
  /** This replica's field in every counter. */
  readonly field: string

  constructor(deps: SharedBudgetsDeps) {
    this.#deps = deps
    this.#tellScript = deps.redis.script(tellScript)
    this.field = `u:${deps.replica}`
    deps.budgets.onChange = (changed) => {
      const telling = this.#tell(changed).finally(() => this.#telling.delete(telling))
      this.#telling.add(telling)
    }
  }

  /** Waits until what changed so far is told, or Redis is away. */
  async close(): Promise<void> {
    await Promise.all(this.#telling)
  }

  /** The budgets of a plan in force, with what this replica knows of each. */
  inForce({ tenant, budgets }: Plan): readonly PeriodBudget[] {
    return budgets.length === 0 ? none : this.#deps.budgets.watch(tenant, budgets)
  }

  /** Takes what Redis said of budgets in force, for when it is away. */
  learn(budgets: readonly PeriodBudget[], totalsUs: readonly number[]): void {
    if (budgets.length === 0) return
    const counters = budgets.map(({ counter }) => counter)
    this.#deps.budgets.learn(counters, totalsUs)
  }

  /** In the tenant's slot of a cluster. The place comes last, because it may hold anything. */
  keyOf({ tenant, place, period }: CounterId): string {
    return `${this.#deps.redis.prefix}:gpu:{${tenant}}:${period}:${place}`
  }

  /** Says again what Redis has missed. */
  async tellLate(): Promise<void> {
    const untold = [...this.#untold.values()]
    this.#untold.clear()
    await this.#tell(untold)
  }

  /** One call for each tenant, one after another: a batch of usage may hold hundreds. */
  async #tell(changed: readonly CounterId[]): Promise<void> {
    for (const counters of Map.groupBy(changed, ({ tenant }) => tenant).values()) {
      if (await this.#tellTenant(counters)) continue
      for (const counter of counters) if (this.#untold.size < untoldMax) this.#untold.set(this.keyOf(counter), counter)
    }
  }

  async #tellTenant(counters: readonly CounterId[]): Promise<boolean> {
    const values: (string | number)[] = [this.field]
    const known = counters.map((counter) => this.#deps.budgets.read(counter))
    for (const { storedUs, unwrittenUs } of known) values.push(storedUs, unwrittenUs)
    const keys = counters.map((counter) => this.keyOf(counter))
    const totals = await this.#tellScript.run(keys, values)
    if (totals === skipped) return false
    if (isNumbers(totals)) this.#deps.budgets.learn(known, totals)
    return true
  }
}

const none: readonly PeriodBudget[] = []
