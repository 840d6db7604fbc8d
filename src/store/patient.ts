/**
 * Reads that wait out a short absence of the database: a failover, a restart of the pooler. Only as long as the outage is young, counted
 * from its first failure: in a long one every read fails at once, so that nothing piles up behind it. A failure after a silence of
 * that length begins a new outage, for nobody knows what was in between.
 */
import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import type { Database, Transaction, TransactionOptions, TransactionScope } from './database.ts'
import { isConnectionLost } from './sql-errors.ts'

const pauseMs = 50

export interface Patience {
  readonly clock: Clock
  /** How old an outage may get before reads no longer wait. 0: they never do. */
  readonly waitMs: () => number
}

/** The same database; transactions that write, or that fail for another reason, pass as they are. */
export class PatientDatabase implements Database {
  readonly #database: Database
  readonly #patience: Patience
  #awaySinceMs = 0
  #failedAtMs = -Infinity

  constructor(database: Database, patience: Patience) {
    this.#database = database
    this.#patience = patience
  }

  get kind(): Database['kind'] {
    return this.#database.kind
  }

  async tx<T>(scope: TransactionScope, work: (transaction: Transaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    if (options.readOnly !== true) return this.#database.tx(scope, work, options)
    for (;;) {
      try {
        const value = await this.#database.tx(scope, work, options)
        this.#failedAtMs = -Infinity
        return value
      } catch (error) {
        if (!isAway(error) || !this.#isYoung()) throw error
        await this.#patience.clock.sleep(pauseMs)
      }
    }
  }

  #isYoung(): boolean {
    const { clock, waitMs } = this.#patience
    const nowMs = clock.nowMs()
    if (nowMs - this.#failedAtMs > waitMs()) this.#awaySinceMs = nowMs
    this.#failedAtMs = nowMs
    return nowMs - this.#awaySinceMs < waitMs()
  }

  close(): Promise<void> {
    return this.#database.close()
  }
}

/** Nobody there, or gone meanwhile; not a database that is only full or slow. */
function isAway(error: unknown): boolean {
  return error instanceof CorralError && error.code === 'store_unavailable' && isConnectionLost(error.cause)
}
