/**
 * The right to work on a job. Every transaction of a worker begins by renewing the lease: when the job was cancelled, paused or taken
 * over, that finds no row, nothing is written, and the worker's signal is aborted. While nothing is written a timer renews it.
 */
import type { Clock, Timer } from '../../base/clock.ts'
import type { Database, Transaction, TransactionOptions } from '../../store/database.ts'
import type { Job } from '../job.ts'

/** Thrown through a worker that has lost its job; never an error of the job. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

export interface LeaseDeps {
  readonly database: Database
  readonly clock: Clock
  readonly leaseMs: number
  readonly onTrouble: (error: unknown) => void
}

/** Renewals per lease: two may fail before it runs out. */
const renewalsPerLease = 3

const renewSql = `update rag_jobs set heartbeat_at = now(), lease_until = now() + make_interval(secs => $4 / 1000.0)
where tenant = $1 and id = $2 and lease_owner = $3 and state = 'running'`

export class Lease {
  readonly job: Job
  readonly #deps: LeaseDeps
  readonly #controller = new AbortController()
  #timer: Timer | null = null
  #renewing: Promise<void> = Promise.resolve()

  constructor(job: Job, deps: LeaseDeps) {
    this.job = job
    this.#deps = deps
  }

  /** Aborted when the job is no longer this worker's. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Ends the work, e.g. because somebody cancelled the job or the process shuts down. */
  lose(): void {
    this.#controller.abort(new LeaseLost('the job is no longer this worker’s'))
  }

  /** Begins to renew the lease by itself. */
  start(): void {
    this.#timer = this.#deps.clock.after(this.#deps.leaseMs / renewalsPerLease, () => {
      this.#renewing = this.tx(async () => {}, { name: 'renew_lease' }).then(
        () => this.start(),
        (error: unknown) => {
          if (error instanceof LeaseLost) return
          this.#deps.onTrouble(error)
          this.start()
        },
      )
    })
  }

  /** Stops renewing; resolves when no renewal is under way. */
  async stop(): Promise<void> {
    this.#timer?.cancel()
    await this.#renewing
    this.#timer?.cancel()
  }

  /** Runs `work` in a transaction of the job's tenant that holds only while the job is this worker's. Throws `LeaseLost` when it is not. */
  tx<T>(work: (transaction: Transaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    const { tenant, id, leaseOwner } = this.job
    return this.#deps.database.tx(
      { tenant },
      async (transaction) => {
        if (this.signal.aborted) throw new LeaseLost('the job was taken away')
        const { rowCount } = await transaction.query(renewSql, [tenant, id, leaseOwner, this.#deps.leaseMs])
        if (rowCount === 0) {
          this.lose()
          throw new LeaseLost('the job was taken away')
        }
        return work(transaction)
      },
      { name: 'use_lease', ...options },
    )
  }
}
