/**
 * Replicas that share nodes agree by Redis on which runner options each node's model runs with and on who loads it, because two
 * fingerprints on one busy model wedge a node's scheduler (ollama-contract-verified.md §b). This is the desk: it collects what
 * the runners' leases have to say, sends it in one call, hears the news of other replicas and renews once a second.
 *
 * Redis is never load-bearing: absent, silent or left alone, each replica guards its own runners, at once. Replicas must name a
 * node by the same URL. What a lease means is `runner-lease.ts`'s, what Redis does with it `lease-script.ts`'s.
 */
import { createHash } from 'node:crypto'

import type { Clock, Timer } from '../base/clock.ts'
import { skipped, type RedisScript, type RedisStore } from '../store/redis-store.ts'
import { leaseArguments, leaseScript, type LeaseStatement, type LeaseTimes, readReplies } from './lease-script.ts'
import { type LeaseDesk, type LeasedRunner, leaseTtlMs, refusedForMs, RunnerLease } from './runner-lease.ts'

interface RunnerLeasesDeps {
  readonly redis: RedisStore
  readonly clock: Clock
  /** Unique among replicas; without line breaks. */
  readonly replica: string
}

export interface LeaseWork {
  /** Every lease that there is. */
  readonly leases: () => Iterable<RunnerLease>
  /** Lets in whoever may be now. */
  readonly wake: () => void
}

interface Outgoing {
  readonly lease: RunnerLease
  readonly statement: LeaseStatement
  readonly turn: number
}

/** Fairly short, since a wish outlives its client by as much; longer than the time between two askings. */
const wishMs = 1_500
/** What ran last is remembered longer than a node keeps an idle model by default (5 min). */
const memoryMs = 600_000
const times: LeaseTimes = { ttlMs: leaseTtlMs, wishMs, memoryMs }
const renewEveryPolls = 4
/** Statements per call: a call is one script, and Redis does nothing else meanwhile. */
const batchMax = 64

export class RunnerLeases implements LeaseDesk {
  readonly clock: Clock
  readonly #redis: RedisStore
  readonly #replica: string
  readonly #channel: string
  readonly #script: RedisScript
  /** Those with something to lose or to win, by key. */
  readonly #active = new Map<string, RunnerLease>()
  #work: LeaseWork | null = null
  #outgoing: Outgoing[] = []
  #timer: Timer | null = null
  #unsubscribe: (() => void) | null = null
  #polls = 0
  /** Calls to Redis so far. */
  calls = 0

  constructor({ redis, clock, replica }: RunnerLeasesDeps) {
    this.clock = clock
    this.#redis = redis
    this.#replica = replica
    this.#channel = `${redis.prefix}:leases`
    this.#script = redis.script(leaseScript)
  }

  get isAlone(): boolean {
    return this.#redis.state !== 'up'
  }

  /** The lease of the model with this digest (or name) on the node at `url`. */
  of(runner: LeasedRunner, url: string, model: string): RunnerLease {
    const id = createHash('sha256')
      .update(JSON.stringify([new URL(url).href, model]))
      .digest('base64url')
      .slice(0, 22)
    return new RunnerLease(`${this.#redis.prefix}:{leases}:${id}`, runner, this)
  }

  start(work: LeaseWork): void {
    this.#work = work
    this.#unsubscribe = this.#redis.subscribe('leases', { onMessage: (message) => this.#hear(message) })
    this.#schedule()
  }

  #schedule(): void {
    this.#timer = this.clock.after(refusedForMs, () => {
      this.#tick()
      this.#schedule()
    })
  }

  #tick(): void {
    this.#polls += 1
    let freed = false
    for (const [key, lease] of this.#active) {
      if (lease.poll()) freed = true
      if (!lease.isActive) this.#active.delete(key)
    }
    if (this.#polls % renewEveryPolls === 0 && !this.isAlone) this.#renew()
    if (freed) this.#work?.wake()
  }

  #renew(): void {
    // Beside those of all runners also those of nodes that were taken out: their streams still run.
    const all = new Set<RunnerLease>([...this.#active.values(), ...(this.#work?.leases() ?? [])])
    for (const lease of all) lease.renew()
  }

  send(lease: RunnerLease, statement: LeaseStatement, turn: number): void {
    this.#active.set(lease.key, lease)
    this.#outgoing.push({ lease, statement, turn })
    if (this.#outgoing.length === 1) queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    const all = this.#outgoing
    this.#outgoing = []
    for (let from = 0; from < all.length; from += batchMax) void this.#call(all.slice(from, from + batchMax))
  }

  async #call(batch: readonly Outgoing[]): Promise<void> {
    const sentAtMs = this.clock.nowMs()
    const statements = batch.map(({ statement }) => statement)
    const { keys, values } = leaseArguments(statements, { replica: this.#replica, channel: this.#channel, times })
    this.calls += 1
    const raw = await this.#script.run(keys, values)
    const replies = raw === skipped ? null : readReplies(raw, batch.length)
    batch.forEach(({ lease, turn }, index) => lease.answered(turn, replies?.[index] ?? null, sentAtMs))
    if (statements.some(({ kind }) => kind !== 'drop')) this.#work?.wake()
    for (const { lease } of batch) lease.settle()
  }

  #hear(message: string): void {
    const [kind, key = '', fingerprint = ''] = message.split('\n')
    const lease = this.#active.get(key)
    if (lease === undefined) return
    if (kind === 'free' && lease.noteFreed()) this.#work?.wake()
    else if (kind === 'idle') lease.noteWanted(null)
    else if (kind === 'want') lease.noteWanted(fingerprint)
  }

  /** Gives back what is held, and stops. Waits no longer than a call to Redis may take. */
  async close(): Promise<void> {
    this.#timer?.cancel()
    this.#unsubscribe?.()
    this.#work = null
    for (const lease of this.#active.values()) lease.release()
    const all = this.#outgoing.splice(0, batchMax)
    if (all.length > 0) await this.#call(all)
  }
}

/** Null without a Redis: then every replica leaves the others out of account. */
export function createLeases(redis: RedisStore | null, deps: Omit<RunnerLeasesDeps, 'redis'>): RunnerLeases | null {
  return redis === null ? null : new RunnerLeases({ redis, ...deps })
}
