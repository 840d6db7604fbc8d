/**
 * A transaction that is open on a connection: sends one statement after the other, each with the client's own deadline, and remembers
 * the first that failed and whether the connection can still be used. Its beginning and end are in `transact.ts`.
 *
 * The client's deadline lies `deadlineSlackMs` behind the server's, so that in the usual case the server ends the statement and no
 * backend is orphaned.
 */
import { type Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { type QueryResult, type Transaction, type TransactionOptions, type TransactionScope } from './database.ts'
import { codeOf, isConnectionLost, readOnlyState, storeError } from './sql-errors.ts'

/** How long after the server's timeout the client stops believing in the connection. */
const deadlineSlackMs = 500

/** What of a driver's client is needed. */
export interface SqlClient {
  query(text: string, values?: unknown[]): Promise<SqlResult | readonly SqlResult[]>
}

interface SqlResult {
  readonly command: string
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly rowCount: number | null
}

export interface TransactionLimits {
  readonly statementTimeoutMs: number
  readonly lockTimeoutMs: number
  readonly transactionTimeoutMs: number
}

/** The limits of one transaction: its own, else those of the options. */
export function limitsOf(defaults: TransactionLimits, { statementTimeoutMs, transactionTimeoutMs }: TransactionOptions): TransactionLimits {
  const statementMs = statementTimeoutMs ?? defaults.statementTimeoutMs
  return {
    statementTimeoutMs: statementMs,
    lockTimeoutMs: defaults.lockTimeoutMs,
    transactionTimeoutMs: Math.max(transactionTimeoutMs ?? defaults.transactionTimeoutMs, statementMs),
  }
}

export interface TransactSettings {
  readonly scope: TransactionScope
  readonly limits: TransactionLimits
  readonly readOnly: boolean
  /** Whether the server is to end what takes too long, too. */
  readonly hasServerTimeouts: boolean
  readonly clock: Clock
}

export class OpenTransaction implements Transaction {
  readonly #client: SqlClient
  readonly #settings: TransactSettings
  readonly #untilMs: number
  /** The statement before: a connection does one at a time. */
  #last: Promise<unknown> = Promise.resolve()
  #open = true
  /** What the first statement that failed said. Postgres refuses all further ones but the rollback. */
  failure: { readonly error: unknown } | null = null
  usable = true

  constructor(client: SqlClient, settings: TransactSettings) {
    this.#client = client
    this.#settings = settings
    this.#untilMs = settings.clock.nowMs() + settings.limits.transactionTimeoutMs
  }

  /** A property, so that work may take it out of the transaction: `tx(scope, ({ query }) => …)`. */
  readonly query = (text: string, values: readonly unknown[] = []): Promise<QueryResult> => {
    const run = (): Promise<QueryResult> => {
      if (!this.#open) throw new Error('a statement after the end of its transaction')
      return this.#statement(text, values)
    }
    const result = this.#last.then(run)
    this.#last = result.catch(() => {})
    return result
  }

  async #statement(text: string, values: readonly unknown[]): Promise<QueryResult> {
    try {
      const result = await this.run(text, [...values])
      return { rows: result.rows, rowCount: result.rowCount ?? 0 }
    } catch (error) {
      throw storeError(error)
    }
  }

  /** Sends one statement, of the feature or of the transaction itself. */
  async run(text: string, values?: unknown[]): Promise<SqlResult> {
    const { clock, limits } = this.#settings
    const leftMs = Math.max(this.#untilMs - clock.nowMs(), 0)
    const boundMs = Math.min(limits.statementTimeoutMs, leftMs) + deadlineSlackMs
    try {
      if (!this.usable) throw new CorralError('store_unavailable', 'the connection to the database is lost')
      const result = await within(clock, boundMs, this.#client.query(text, values))
      return lastOf(result)
    } catch (error) {
      this.failure ??= { error }
      if (error instanceof CorralError || isConnectionLost(error) || this.#isOnStandby(error)) this.usable = false
      throw error
    }
  }

  /** A server that became read-only under us: after a failover the old one may. */
  #isOnStandby(error: unknown): boolean {
    return !this.#settings.readOnly && codeOf(error) === readOnlyState
  }

  /** Lets running statements end and takes no more. */
  async close(): Promise<void> {
    this.#open = false
    await this.#last
  }
}

function lastOf(result: SqlResult | readonly SqlResult[]): SqlResult {
  if (!('length' in result)) return result
  const last = result.at(-1)
  if (last === undefined) throw new Error('a query without a result')
  return last
}

/** Rejects with `store_timeout` when `promise` takes longer than `timeoutMs`; its late outcome is dropped. */
export async function within<T>(clock: Clock, timeoutMs: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = clock.after(timeoutMs, () => reject(new CorralError('store_timeout', `no answer within ${Math.round(timeoutMs)} ms`)))
  try {
    return await Promise.race([promise, late])
  } finally {
    timer.cancel()
  }
}
