/**
 * What went wrong in the database, from the SQLSTATE and the socket's error code to one of the store's errors. Anybody may see a
 * message, so it holds nothing of the driver's; the error's cause does, for the log (`outage-log.ts`). Leaves retries to the callers:
 * it only says which failures allow one.
 */
import { type ConstraintKind, ConstraintError } from './database.ts'
import { CorralError } from '../core/errors.ts'

/** After how long a client may well try again when the store is away: reconnecting takes at most about a second. */
export const storeRetryAfterMs = 1_000

const constraintKinds: Readonly<Record<string, ConstraintKind>> = {
  '23505': 'unique',
  '23503': 'foreign_key',
  '23514': 'check',
  '23502': 'not_null',
  '23P01': 'exclusion',
}

/** Deadlock and serialization failure: another try may well succeed. */
const conflictStates = new Set(['40P01', '40001'])
/** query_canceled (statement_timeout), lock_not_available, idle_in_transaction and transaction timeout. */
const timeoutStates = new Set(['57014', '55P03', '25P03', '25P04'])
/** admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped, too_many_connections. */
const awayStates = new Set(['57P01', '57P02', '57P03', '57P04', '53300'])
/** A write was refused because the transaction, or the whole server, only reads. */
export const readOnlyState = '25006'
/** disk_full, and Linux's own word for it from the embedded file system. */
const fullStates = new Set(['53100', 'ENOSPC', 'EDQUOT'])
/** The role of tenants (`tenancy.ts`) is made by the first migration; a transaction that takes it before is told so in these words. */
const missingRole = /role "corral_tenant" does not exist/
/** undefined_table and undefined_column: statements of this version on a schema that its migrations have not reached yet. */
const unpreparedStates = new Set(['42P01', '42703'])
/** character_not_in_repertoire and untranslatable_character: a text or a JSON value with U+0000. */
const unstorableStates = new Set(['22021', '22P05'])
const socketCodes = /^E[A-Z]+$/
/** pg's own errors of a connection that ended have no code. */
const connectionLostText =
  /connection (terminated|ended|closed)|client (was closed|has encountered a connection error)|not queryable|timeout expired/i

function textOf(error: object, field: string): string {
  const value: unknown = Reflect.get(error, field)
  return typeof value === 'string' ? value : ''
}

/** The SQLSTATE or system error code; '' when there is none. */
export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null ? textOf(error, 'code') : ''
}

/** Whether the database answered with an SQLSTATE, so that the connection still works in principle. */
function isSqlState(code: string): boolean {
  return /^[0-9A-Z]{5}$/.test(code) && !socketCodes.test(code)
}

/** A conflict between transactions that a new try can solve. */
export function isConflict(error: unknown): boolean {
  return conflictStates.has(codeOf(error))
}

/** Whether the connection is gone or unusable. PgBouncer reports a lost server as 08P01. */
export function isConnectionLost(error: unknown): boolean {
  const code = codeOf(error)
  if (isSqlState(code)) return code.startsWith('08') || awayStates.has(code) || code === '25P03' || code === '25P04'
  if (code !== '') return socketCodes.test(code) && !fullStates.has(code)
  return error instanceof Error && !(error instanceof CorralError) && connectionLostText.test(error.message)
}

/** Whether a table, a column or the tenants' role is missing: the migrations have not run here yet. */
export function isUnprepared(error: unknown): boolean {
  if (unpreparedStates.has(codeOf(error))) return true
  return error instanceof Error && codeOf(error) === '22023' && missingRole.test(error.message)
}

/** The error that callers of the store see. What `work` threw by itself passes unchanged. */
export function storeError(error: unknown): unknown {
  if (error instanceof CorralError || error instanceof ConstraintError) return error
  const code = codeOf(error)
  if (fullStates.has(code)) return new CorralError('store_full', 'the database has no room left', { cause: error })
  if (timeoutStates.has(code)) return new CorralError('store_timeout', 'a statement took too long', { cause: error })
  if (conflictStates.has(code)) return unavailable('transactions kept conflicting', error)
  if (isConnectionLost(error)) return unavailable('the connection to the database is lost', error)
  if (unstorableStates.has(code)) {
    return new CorralError('invalid_request', 'a text holds a NUL character (U+0000), which cannot be stored: leave it out', {
      cause: error,
    })
  }
  if (isUnprepared(error)) return unavailable('starting: the database is still being prepared', error)
  const kind = constraintKinds[code]
  if (kind === undefined || typeof error !== 'object' || error === null) return error
  const constraint = textOf(error, kind === 'not_null' ? 'column' : 'constraint')
  return new ConstraintError({ kind, constraint, table: textOf(error, 'table'), cause: error })
}

/** A `store_unavailable` with the time after which a retry makes sense. */
export function unavailable(message: string, cause?: unknown): CorralError {
  return new CorralError('store_unavailable', message, { cause, retryAfterMs: storeRetryAfterMs })
}
