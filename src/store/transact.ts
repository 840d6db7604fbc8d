/**
 * One transaction on one connection, the same for both makers: begin with tenant and timeouts in a single round trip (of one that
 * only reads: that of its first statement), statements in their order, commit or roll back, every wait with a deadline. Says in its verdict how
 * far it came and whether the connection may be used again; what to retry, and on which connection, is decided by the caller (`retried.ts`).
 *
 * Timeouts are settings local to the transaction, which PgBouncer in transaction mode passes.
 */
import { type Transaction } from './database.ts'
import { OpenTransaction, type SqlClient, type TransactSettings, within } from './open-transaction.ts'

export type TransactVerdict<T> =
  | { readonly kind: 'done'; readonly value: T }
  | {
      readonly kind: 'failed'
      /** What the caller hears: as `work` or the driver threw it. */
      readonly error: unknown
      /** What the first failed statement met, as the driver threw it: decides about a retry. Null when `work` failed by itself. */
      readonly cause: unknown
      /**
       * `begin`: the transaction was not begun, so nothing that `work` asked for has taken effect; `commit`: whether it took effect is unknown
       * when the connection is lost.
       */
      readonly phase: 'begin' | 'work' | 'commit'
      /** False: close the connection. */
      readonly usable: boolean
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
    // One that only reads begins with its first statement, in the same round trip: were its beginning to fail, that would change nothing.
    if (!settings.readOnly) await transaction.begin()
  } catch (error) {
    await transaction.rollback()
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
    await transaction.rollback()
    return failed(error, transaction.hasBegun || transaction.failure === null ? 'work' : 'begin')
  }
  try {
    await transaction.commit()
    return { kind: 'done', value }
  } catch (error) {
    await transaction.rollback()
    return failed(error, 'commit')
  }
}
