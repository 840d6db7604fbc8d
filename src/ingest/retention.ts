/**
 * What time removes: documents older than their collection keeps them, jobs that ended long ago, bytes that nothing needs. A bounded number
 * per turn; replicas that meet find less to do.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { IngestDeps } from './job-deps.ts'
import { removeExpired } from './removal.ts'
import { type SourceMark, sweepSources } from './sources.ts'

/** Bytes that are younger may belong to a job that is not there yet. */
const sourcesAfterMs = 3_600_000
const jobsPerSweep = 10_000

/** Sweeps now and then until it is closed. */
export class Retention {
  readonly #deps: IngestDeps
  readonly #clock: Clock
  #timer: Timer | null = null
  #sweeping: Promise<unknown> = Promise.resolve()
  #isClosed = false
  /** How far sources were looked through; null: from their beginning. */
  #sourcesUntil: SourceMark | null = null

  constructor(deps: IngestDeps) {
    this.#deps = deps
    this.#clock = deps.clock
  }

  /** One turn; gives how many documents were removed. Rejects with what the store says. */
  async sweep(): Promise<number> {
    const { database, options } = this.#deps
    const removed = await removeExpired(this.#deps)
    const before = (ageMs: number): string => new Date(this.#clock.wallMs() - ageMs).toISOString()
    const text = `delete from rag_jobs where (tenant, id) in (select tenant, id from rag_jobs where finished_at < $1::timestamptz order by finished_at limit ${jobsPerSweep})`
    await database.tx('system', (transaction) => transaction.query(text, [before(options().keepJobsMs)]), { name: 'remove_expired' })
    this.#sourcesUntil = await sweepSources(database, { olderThan: before(sourcesAfterMs), after: this.#sourcesUntil })
    return removed
  }

  start(): void {
    if (this.#isClosed) return
    this.#timer = this.#clock.after(this.#deps.options().sweepMs, () => {
      this.#sweeping = this.sweep().then(
        () => this.start(),
        (error: unknown) => {
          this.#deps.onTrouble(error)
          this.start()
        },
      )
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#sweeping
  }
}
