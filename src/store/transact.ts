/**
 * One transaction on one connection, the same for both makers: begin with tenant and timeouts in a single round trip, statements
 * one after the other, commit or roll back, every wait with a deadline. Says in its verdict how far it came and whether the
 * connection may be used again; what to retry, and on which connection, is decided by the caller (`retried.ts`).
 *
 * Timeouts are settings local to the transaction, which PgBouncer in transaction mode passes.
 */
import { type Transaction } from './database.ts'
import { OpenTransaction, type SqlClient, type TransactionLimits, type TransactSettings, within } from './open-transaction.ts'
import { scopeSettings, setting } from './tenancy.ts'

export type TransactVerdict<T> =
  | { readonly kind: 'done'; readonly value: T }
  | {
      readonly kind: 'failed'
      /** What the caller hears: as `work` or the driver threw it. */
      readonly error: unknown
      /** What the first failed statement met, as the driver threw it: decides about a retry. Null when `work` failed by itself. */
      readonly cause: unknown
      /** `begin`: `work` has not run; `commit`: whether it took effect is unknown when the connection is lost. */
      readonly phase: 'begin' | 'work' | 'commit'
      /** False: close the connection. */
      readonly usable: boolean
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

/** Runs `work` in a transaction of `client`. Never rejects. */
export async function transact<T>(
  client: SqlClient,
  work: (transaction: Transaction) => Promise<T>,
  settings: TransactSettings,
): Promise<TransactVerdict<T>> {
  const transaction = new OpenTransaction(client, settings)
  const failed = (error: unknown, phase: 'begin' | 'work' | 'commit'): TransactVerdict<T> => ({
    kind: 'failed',
    error,
    cause: transaction.failure?.error ?? null,
    phase,
    usable: transaction.usable,
  })
  try {
    await transaction.run(beginText(settings))
  } catch (error) {
    await rollback(transaction)
    return failed(error, 'begin')
  }
  let value: T
  try {
    value = await within(settings.clock, settings.limits.transactionTimeoutMs, work(transaction))
    await transaction.close()
    // `work` may have caught it, but Postgres would turn the commit into a rollback.
    if (transaction.failure !== null) throw transaction.failure.error
  } catch (error) {
    await transaction.close()
    await rollback(transaction)
    return failed(error, 'work')
  }
  try {
    await transaction.run('commit')
    return { kind: 'done', value }
  } catch (error) {
    await rollback(transaction)
    return failed(error, 'commit')
  }
}

async function rollback(transaction: OpenTransaction): Promise<void> {
  if (!transaction.usable) return
  try {
    await transaction.run('rollback')
  } catch {
    // The reason of the rollback is what the caller hears; a connection that cannot roll back is closed.
    transaction.usable = false
  }
}
