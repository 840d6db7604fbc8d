/**
 * A transaction on a connection: sends its statements in the order in which they are asked for, each with the client's own deadline, and
 * remembers the first that failed and whether the connection can still be used. What is asked for in one go travels in one go where the
 * driver can do so, the beginning of a transaction that only reads included, and its end with `last`.
 *
 * The client's deadline lies `deadlineSlackMs` behind the server's, so that in the usual case the server ends the statement and no
 * backend is orphaned.
 */
import { type Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { type QueryResult, type Transaction, type TransactionOptions, type TransactionScope } from './database.ts'
import { codeOf, isConnectionLost, readOnlyState, storeError } from './sql-errors.ts'
import { scopeSettings, setting } from './tenancy.ts'

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
  /** Sent and not answered. */
  #unanswered = 0
  /** Settles when all that was sent is answered. */
  #answered: Promise<void> = Promise.resolve()
  #open = true
  #begun: Promise<unknown> | null = null
  #committed: Promise<unknown> | null = null
  /** Whether the server has answered the beginning. */
  hasBegun = false
  /** What the first statement that failed said. Postgres refuses all further ones but the rollback. */
  failure: { readonly error: unknown } | null = null
  usable = true

  constructor(client: SqlClient, settings: TransactSettings) {
    this.#client = client
    this.#settings = settings
    this.#untilMs = settings.clock.nowMs() + settings.limits.transactionTimeoutMs
  }

  /** Begins, unless that was done. */
  begin(): Promise<unknown> {
    this.#begun ??= this.run(beginText(this.#settings)).then(() => (this.hasBegun = true))
    return this.#begun
  }

  /** Ends what was begun, unless `last` has done so. */
  async commit(): Promise<void> {
    if (this.#begun === null) return
    await (this.#committed ?? this.run('commit'))
  }

  /** Gives up what was begun; a connection that cannot do that is not to be used again. */
  async rollback(): Promise<void> {
    if (this.#begun === null || !this.usable) return
    try {
      // An end that was sent already is a rollback where a statement failed.
      await (this.#committed ?? this.run('rollback'))
    } catch {
      // The reason of the rollback is what the caller hears.
      this.usable = false
    }
  }

  /** A property, so that work may take it out of the transaction: `tx(scope, ({ query }) => …)`. */
  readonly query = async (text: string, values: readonly unknown[] = []): Promise<QueryResult> => {
    this.#mustBeOpen()
    return this.#statement(text, values)
  }

  readonly last = async (text: string, values: readonly unknown[] = []): Promise<QueryResult> => {
    this.#mustBeOpen()
    if (!this.#settings.readOnly) throw new Error('a transaction that writes ends when its work has')
    const result = this.#statement(text, values)
    this.#open = false
    this.#committed = this.run('commit')
    // Heard by `commit` or `rollback`.
    this.#committed.catch(() => {})
    return result
  }

  #mustBeOpen(): void {
    if (!this.#open) throw new Error('a statement after the end of its transaction')
  }

  async #statement(text: string, values: readonly unknown[]): Promise<QueryResult> {
    const begun = this.begin()
    const answer = this.run(text, [...values])
    // Of a transaction that has not begun the beginning tells why.
    answer.catch(() => {})
    try {
      await begun
      const { rows, rowCount } = await answer
      return { rows, rowCount: rowCount ?? 0 }
    } catch (error) {
      throw storeError(error)
    }
  }

  /** Sends one statement, of the feature or of the transaction itself. */
  run(text: string, values?: unknown[]): Promise<SqlResult> {
    const answer = this.#send(text, values)
    this.#answered = Promise.allSettled([this.#answered, answer]).then(() => undefined)
    return answer
  }

  async #send(text: string, values?: unknown[]): Promise<SqlResult> {
    const { clock, limits } = this.#settings
    const leftMs = Math.max(this.#untilMs - clock.nowMs(), 0)
    this.#unanswered += 1
    // It is answered after those before it.
    const boundMs = Math.min(limits.statementTimeoutMs * this.#unanswered, leftMs) + deadlineSlackMs
    try {
      if (!this.usable) throw new CorralError('store_unavailable', 'the connection to the database is lost')
      return lastOf(await within(clock, boundMs, this.#client.query(text, values)))
    } catch (error) {
      this.failure ??= { error }
      if (error instanceof CorralError || isConnectionLost(error) || this.#isOnStandby(error)) this.usable = false
      throw error
    } finally {
      this.#unanswered -= 1
    }
  }

  /** A server that became read-only under us: after a failover the old one may. */
  #isOnStandby(error: unknown): boolean {
    return !this.#settings.readOnly && codeOf(error) === readOnlyState
  }

  /** Takes no more statements and lets those under way end, unless the connection is lost to them anyway. */
  async close(): Promise<void> {
    this.#open = false
    if (this.usable) await this.#answered
  }
}

function beginText({ scope, limits, readOnly, hasServerTimeouts }: TransactSettings): string {
  const timeouts = hasServerTimeouts ? serverTimeouts(limits) : []
  return `begin${readOnly ? ' read only' : ''}; select ${[...timeouts, ...scopeSettings(scope)].join(', ')}`
}

function serverTimeouts({ statementTimeoutMs, lockTimeoutMs, transactionTimeoutMs }: TransactionLimits): readonly string[] {
  return [
    setting('statement_timeout', String(Math.ceil(statementTimeoutMs))),
    setting('lock_timeout', String(Math.ceil(lockTimeoutMs))),
    setting('idle_in_transaction_session_timeout', String(Math.ceil(transactionTimeoutMs))),
  ]
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
