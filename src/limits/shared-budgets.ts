/**
 * GPU time of all replicas, counted in Redis: a budget that is used up on one of them is used up on all with the end of the answer that
 * did it. Each replica says what it knows of a counter (`scripts.ts`) when a request asks for admission, when an answer ends, and when its
 * use was written to the store. So an empty Redis is filled again by whoever asks next, from the store's totals, and a message that
 * was lost is made up for by the next one. While Redis is away each goes on from the sum it heard last, and the store alone brings the
 * others' use (`budget.ts`), some seconds late.
 *
 * Invariant: once each replica has spoken since Redis was empty, the sum in Redis is what all used, but for messages on their way. One
 * that wrote its use and has not said so yet counts twice; if it dies there, that batch does for `replicaGoneSeconds`. With a store, what a
 * replica has not written and said again for so long is forgotten: hence it repeats itself, and nobody has to know who is alive.
 */
import type { Clock } from '../base/clock.ts'
import { skipped, type RedisScript, type RedisStore } from '../store/redis-store.ts'
import type { Budgets, CounterId, PeriodBudget } from './budget.ts'
import type { Plan } from './plan.ts'
import { isNumbers, replicaGoneSeconds, tellScript } from './scripts.ts'

interface SharedBudgetsDeps {
  readonly redis: RedisStore
  readonly clock: Clock
  readonly budgets: Budgets
  /** Unique to this process. */
  readonly replica: string
  /** Whether a store takes what is used here. */
  readonly hasStore: boolean
}

/** Counters that Redis is still to be told of; further ones are told with the next request that asks for them. */
const untoldMax = 10_000
/** Counters of one call: few enough that Redis answers many gateways at once within a command's time. */
const toldAtOnce = 500
/** How long a gateway that stops goes on to tell Redis that its use is written; a breaker tries again every half second. */
const closeMsMax = 2_000
const closeTriesEveryMs = 50
/** How often a replica repeats what it has not written: several times before it is taken for dead. */
const repeatMs = (replicaGoneSeconds * 1_000) / 6

export class SharedBudgets {
  readonly #deps: SharedBudgetsDeps
  readonly #tellScript: RedisScript
  readonly #untold = new Map<string, CounterId>()
  readonly #telling = new Set<Promise<void>>()
  #repeatedAtMs: number
  /** When telling stops. */
  #endsAtMs = Number.POSITIVE_INFINITY
  /** This replica's field in every counter. */
  readonly field: string

  constructor(deps: SharedBudgetsDeps) {
    this.#deps = deps
    this.#tellScript = deps.redis.script(tellScript)
    this.field = `${deps.hasStore ? 'u' : 'k'}:${deps.replica}`
    this.#repeatedAtMs = deps.clock.nowMs()
    deps.budgets.onChange = (changed) => void this.#tell(changed)
  }

  /** Waits until what changed so far is told. While Redis is away tries again for `closeMsMax`: nobody will speak for this replica later. */
  async close(): Promise<void> {
    const { clock, redis } = this.#deps
    this.#endsAtMs = clock.nowMs() + closeMsMax
    await Promise.all(this.#telling)
    while (this.#untold.size > 0 && clock.nowMs() < this.#endsAtMs) {
      await clock.sleep(closeTriesEveryMs)
      if (redis.state === 'up') await this.tellLate()
    }
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

  /** Says again what Redis has missed, and now and then all that is not written. */
  tellLate(): Promise<void> {
    const { clock, budgets } = this.#deps
    if (clock.nowMs() - this.#repeatedAtMs >= repeatMs) {
      this.#repeatedAtMs = clock.nowMs()
      for (const counter of budgets.unwritten()) this.#miss(counter)
    }
    const untold = [...this.#untold.values()]
    this.#untold.clear()
    return this.#tell(untold)
  }

  #tell(changed: readonly CounterId[]): Promise<void> {
    const telling = this.#tellAll(changed).finally(() => this.#telling.delete(telling))
    this.#telling.add(telling)
    return telling
  }

  /** One call after another: a batch of usage may hold hundreds of tenants, and a tenant thousands of keys. */
  async #tellAll(changed: readonly CounterId[]): Promise<void> {
    for (const ofTenant of Map.groupBy(changed, ({ tenant }) => tenant).values()) {
      for (let first = 0; first < ofTenant.length; first += toldAtOnce) {
        const counters = ofTenant.slice(first, first + toldAtOnce)
        if (this.#deps.clock.nowMs() < this.#endsAtMs && (await this.#tellSome(counters))) continue
        for (const counter of counters) this.#miss(counter)
      }
    }
  }

  #miss(counter: CounterId): void {
    if (this.#untold.size < untoldMax) this.#untold.set(this.keyOf(counter), counter)
  }

  /** Of one tenant. */
  async #tellSome(counters: readonly CounterId[]): Promise<boolean> {
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
