/**
 * The workers of this process: so many jobs at once, each under a lease, taken as they become due. They look for work when told that there
 * is some, after each job, and now and then for what other processes left. pg-boss is not used: it needs a pool of its own and
 * `LISTEN`-like polling where the embedded store has a single connection, knows nothing of row-level security by tenant, keeps no progress
 * per stage, and its completion cannot share the transaction that makes the document visible.
 */
import { randomUUID } from 'node:crypto'

import type { Timer } from '../../base/clock.ts'
import { Gate } from '../../base/gate.ts'
import { isShared } from '../../store/database.ts'
import type { IngestDeps } from '../job-deps.ts'
import type { Job } from '../job.ts'
import { type JobEvents, reporter } from '../progress.ts'
import { runJob } from '../pipeline.ts'
import { claimJob, nextDueMs, reclaimJobs } from './claim.ts'
import { type StageGates, Turns } from './gate.ts'
import { releaseJob, settleFailure } from './job-settle.ts'
import { Lease } from './lease.ts'
import type { JobPlace } from './parts.ts'

/** A lease that ran out is seen within a sixth of what it lasts. */
const looksPerLease = 6

export class JobWorkers {
  readonly #deps: IngestDeps
  readonly #events: JobEvents
  readonly #gates: StageGates
  readonly #leases = new Map<string, Lease>()
  readonly #running = new Set<Promise<void>>()
  #timer: Timer | null = null
  #looking: Promise<void> | null = null
  #hasNews = false
  #isOpen = false
  /** How long nothing can become due that nobody tells of. */
  #restMs = 0
  #reclaimedAtMs = Number.NEGATIVE_INFINITY

  constructor(deps: IngestDeps, events: JobEvents) {
    this.#deps = deps
    this.#events = events
    this.#gates = {
      extract: new Gate(() => deps.options().extractInFlight),
      embed: new Gate(() => deps.options().embedInFlight),
      index: new Gate(() => deps.options().indexInFlight),
      collections: new Turns(),
    }
  }

  start(): void {
    this.#isOpen = true
    this.wake()
  }

  /** Says that there may be work. */
  wake(): void {
    this.#hasNews = true
    if (!this.#isOpen || this.#looking !== null) return
    this.#timer?.cancel()
    this.#looking = this.#look().finally(() => {
      this.#looking = null
      if (!this.#isOpen) return
      if (this.#hasNews) this.wake()
      else this.#timer = this.#deps.clock.after(Math.max(this.#restMs, this.#deps.options().pollMs), () => this.wake())
    })
  }

  /** Stops work on a job that was paused, cancelled or deleted; does nothing when it runs elsewhere. */
  interrupt({ tenant, id }: JobPlace): void {
    this.#leases.get(keyOf(tenant, id))?.lose()
  }

  /** Stops all work; jobs go back to the queue as they are. */
  async close(): Promise<void> {
    this.#isOpen = false
    this.#timer?.cancel()
    await this.#looking
    for (const lease of this.#leases.values()) lease.lose()
    await Promise.all(this.#running)
  }

  async #look(): Promise<void> {
    this.#hasNews = false
    this.#restMs = 0
    try {
      await this.#reclaim()
      while (this.#isOpen && this.#running.size < this.#deps.options().workers) {
        const { leaseMs, attemptsMax } = this.#deps.options()
        const job = await claimJob(this.#deps.database, { owner: randomUUID(), leaseMs, attemptsMax })
        if (job === null) {
          this.#restMs = await this.#untilDueMs()
          return
        }
        this.#begin(job)
      }
    } catch (error) {
      this.#deps.onTrouble(error)
    }
  }

  /** A store that no other process writes to needs no look before a job is due, or before leases that an earlier process left are looked for. */
  async #untilDueMs(): Promise<number> {
    const { database, options } = this.#deps
    if (isShared(database)) return 0
    return Math.min((await nextDueMs(database)) ?? Infinity, options().leaseMs / looksPerLease)
  }

  async #reclaim(): Promise<void> {
    const { database, clock, options } = this.#deps
    const { leaseMs, attemptsMax } = options()
    if (clock.nowMs() - this.#reclaimedAtMs < leaseMs / looksPerLease) return
    const beganAtMs = clock.nowMs()
    await reclaimJobs(database, attemptsMax)
    this.#reclaimedAtMs = beganAtMs
  }

  #begin(job: Job): void {
    const running = this.#work(job).finally(() => {
      this.#running.delete(running)
      this.wake()
    })
    this.#running.add(running)
  }

  async #work(job: Job): Promise<void> {
    const { database, clock, options, events, onTrouble } = this.#deps
    const startedAtMs = clock.nowMs()
    const lease = new Lease(job, { database, clock, leaseMs: options().leaseMs, onTrouble })
    const key = keyOf(job.tenant, job.id)
    this.#leases.set(key, lease)
    lease.start()
    this.#events.emit(job)
    try {
      const { report, end } = reporter(lease, {
        clock,
        events: this.#events,
        onStage: (stage, tookMs) => events?.stagePassed(stage, tookMs),
      })
      const document = await runJob(lease, { deps: this.#deps, report, gates: this.#gates })
      end()
      events?.attemptEnded(job, { state: 'done', ...document }, clock.nowMs() - startedAtMs)
    } catch (error) {
      const result = await settleFailure(lease, error, this.#deps)
      if (result !== null) events?.attemptEnded(job, result, clock.nowMs() - startedAtMs)
    } finally {
      await lease.stop()
      this.#leases.delete(key)
    }
    if (!this.#isOpen) await releaseJob(job, this.#deps)
    this.#events.emit(job)
  }
}

function keyOf(tenant: string, id: string): string {
  return `${tenant}\n${id}`
}
