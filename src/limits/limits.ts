/**
 * Limits as the rest of the program sees them: the two relay layers (what is recorded, what is limited), the limit for addresses without
 * a credential, and the upkeep between this process, Redis and the store.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import type { Principal } from '../core/principal.ts'
import type { RelayLayer } from '../core/relay.ts'
import type { Database } from '../store/database.ts'
import type { RedisStore } from '../store/redis-store.ts'
import { AddressLimiter } from './address-limiter.ts'
import type { AddressTrial } from './bucket-table.ts'
import { Budgets } from './budget.ts'
import { limited } from './limited.ts'
import { createLimiter, type LimiterStats } from './limiter.ts'
import type { LimitsOptions } from './options.ts'
import { type BudgetLine, PlanBook } from './plan.ts'
import { createUsageLedger, type LedgerStats } from './usage-ledger.ts'
import { UsageSweep } from './usage-sweep.ts'

export interface LimitsDeps {
  readonly options: () => LimitsOptions
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  /** Null: usage is not kept, and budgets last as long as the process. */
  readonly database: Database | null
  /** Null: this process counts alone. */
  readonly redis: RedisStore | null
  /** Processes on this machine that serve together: without Redis each grants its share of a limit. */
  readonly workers?: number
  /** Unique to this process and start. */
  readonly replica: string
  readonly events: LimitsEvents
  /** Keeps who met which limit, a few rows a minute; null: nobody does. */
  readonly audit: LimitsAudit | null
}

export interface LimitsAudit {
  denyByLimit(denial: {
    readonly principal: Principal
    readonly requestId: string
    readonly dimension: string
    readonly scope: string
  }): void
}

/** What limits tell about themselves; nothing of it may throw. */
export interface LimitsEvents {
  /** A request was turned away. `dimension`: requests, tokens, concurrency or gpu; `scope`: tenant, credential or class. */
  readonly limited: (dimension: string, scope: string, call: Call) => void
  /** Usage could not be written and is tried again, or (`dropped` rows) is lost. */
  readonly usageTrouble: (error: unknown, dropped: number) => void
  /** Another gateway counts in the same Redis, and what is used here is kept in a store that no other gateway sees. Told once. */
  readonly budgetsApart: () => void
}

export interface Limits {
  /** Records what passes: outside the limits and the caches. */
  readonly recording: RelayLayer
  readonly limiting: RelayLayer
  /** Held against addresses before a credential of theirs is looked at. */
  readonly addresses: {
    waitMs(address: string): number
    charge(address: string): void
    hold(address: string): AddressTrial | Promise<AddressTrial>
    holdSigner(address: string, signer: string): AddressTrial | Promise<AddressTrial>
  }
  readonly stats: { readonly limiter: LimiterStats; readonly usage: LedgerStats; readonly addresses: number }
  /** Begins to write usage, and reads what was used before. Rejects when that cannot be read; all else goes on. */
  start(): Promise<void>
  /** Writes all usage that waits. */
  flush(): Promise<void>
  close(): Promise<void>
}

export function createLimits(deps: LimitsDeps): Limits {
  const { options, clock, random, database, redis, replica, workers = 1, events, audit } = deps
  const book = latest(options, (current) => new PlanBook(current))
  const budgets = new Budgets(clock, () => options().placesMax)
  const onOthers = database?.kind === 'embedded' ? events.budgetsApart : () => undefined
  const limiter = createLimiter({ clock, options, budgets, redis, replica, hasStore: database !== null, workers, onOthers })
  const addresses = new AddressLimiter(() => options().address)
  const classOf = (model: string | null): string => book().classOf(model)
  const budgetsOf = (principal: Principal, model: string | null): readonly BudgetLine[] => book().planFor(principal, model)?.budgets ?? []
  const ledger = createUsageLedger({ database, clock, options, classOf, budgetsOf, budgets, replica, onTrouble: events.usageTrouble })
  const keepMs = () => ({ usage_records: options().usage.keepMs, usage_texts: options().usage.texts.keepMs })
  const onSweepTrouble = (error: unknown): void => events.usageTrouble(error, 0)
  const sweep = database === null ? null : new UsageSweep({ database, clock, keepMs, onTrouble: onSweepTrouble })
  return {
    recording: ledger.layer,
    limiting: limited({
      options,
      book,
      limiter,
      random,
      onDenied(call, { dimension, scope }) {
        events.limited(dimension, scope, call)
        audit?.denyByLimit({ principal: call.principal, requestId: call.id, dimension, scope })
      },
    }),
    addresses: {
      waitMs: (address) => addresses.waitMs(address, clock.nowMs()),
      charge: (address) => void addresses.admit(address, clock.nowMs()),
      hold: (address) => addresses.hold(address, () => clock.nowMs()),
      holdSigner: (address, signer) => addresses.holdSigner(address, signer, () => clock.nowMs()),
    },
    get stats() {
      return { limiter: limiter.stats, usage: ledger.stats, addresses: addresses.size }
    },
    start() {
      limiter.start()
      sweep?.start()
      return ledger.start()
    },
    flush: () => ledger.flush(),
    async close() {
      await sweep?.close()
      await ledger.close()
      await limiter.close()
    },
  }
}

/** What is made from options, made anew when they are others. */
function latest<O, T>(options: () => O, make: (current: O) => T): () => T {
  let current = options()
  let made = make(current)
  return () => {
    const next = options()
    if (next !== current) {
      current = next
      made = make(next)
    }
    return made
  }
}
