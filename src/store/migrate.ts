/**
 * Brings the schema up: applies the migrations that are not yet in `corral_migrations`, in order of their numbers, all in one transaction.
 * Refuses when what was applied is not what this Corral would have applied. Replicas that start at once take turns by an advisory lock
 * of the transaction, which PgBouncer passes; those who come later find nothing to do. Makes the role of `tenancy.ts` and its grants.
 */
import { createHash } from 'node:crypto'

import { type Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { type Database, type Transaction } from './database.ts'
import { type Migration } from './migration.ts'
import { isUnprepared, unavailable } from './sql-errors.ts'
import { tenantRole } from './tenancy.ts'

/** Any constant of ours: `corral` in ASCII, cut to what fits exactly into a number. */
const lockKey = 0x636f7272
const lockPauseMs = 200
/** Building an index over a large table takes its time. */
const migrationTimeoutMs = 600_000
const lockTimeoutMs = migrationTimeoutMs

/** The schema and this Corral do not fit. The message says which migration and what to do. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError'
}

export interface AppliedMigration {
  readonly number: number
  readonly name: string
  readonly checksum: string
  readonly appliedAt: Date
}

export interface MigrationStatus {
  readonly applied: readonly AppliedMigration[]
  /** In the order in which they would run. */
  readonly pending: readonly Migration[]
}

export function checksumOf({ sql }: Migration): string {
  return createHash('sha256').update(sql).digest('hex')
}

/** What is applied and what is pending. Changes nothing. Throws `MigrationError`. */
export function migrationStatus(database: Database, migrations: readonly Migration[]): Promise<MigrationStatus> {
  return database.tx('system', (transaction) => statusIn(transaction, migrations), { readOnly: true })
}

/** Applies what is pending and returns it. Throws `MigrationError`, or the database's error with nothing applied. */
export async function migrate(database: Database, migrations: readonly Migration[], clock: Clock): Promise<readonly Migration[]> {
  const untilMs = clock.nowMs() + lockTimeoutMs
  const options = { statementTimeoutMs: migrationTimeoutMs, transactionTimeoutMs: migrationTimeoutMs }
  for (;;) {
    const applied = await database.tx('system', (transaction) => applyAlone(transaction, migrations), options)
    if (applied !== null) return applied
    if (clock.nowMs() > untilMs) throw unavailable('another process is migrating the database and does not end')
    await clock.sleep(lockPauseMs)
  }
}

/** Null when another process is at it: waiting for it here would hold a connection and run into `lock_timeout`. */
async function applyAlone(transaction: Transaction, migrations: readonly Migration[]): Promise<readonly Migration[] | null> {
  const { rows } = await transaction.query('select pg_try_advisory_xact_lock($1) as is_ours', [lockKey])
  return rows[0]?.['is_ours'] === true ? applyPending(transaction, migrations) : null
}

/** Applies what is pending inside the caller's transaction, which nobody else may be doing. */
export async function applyPending(transaction: Transaction, migrations: readonly Migration[]): Promise<readonly Migration[]> {
  await transaction.query(`create table if not exists corral_migrations (
    number int primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())`)
  const { pending } = await statusIn(transaction, migrations)
  await transaction.query(roleSql)
  for (const migration of pending) {
    await apply(transaction, migration)
    const { number, name } = migration
    await transaction.query('insert into corral_migrations (number, name, checksum) values ($1, $2, $3)', [
      number,
      name,
      checksumOf(migration),
    ])
  }
  await transaction.query(grantSql)
  return pending
}

/** Inside a migration a missing table is no matter of waiting, and only operators read why. */
async function apply(transaction: Transaction, { number, name, sql }: Migration): Promise<void> {
  try {
    await transaction.query(sql)
  } catch (error) {
    if (error instanceof CorralError && isUnprepared(error.cause)) {
      const reason = error.cause instanceof Error ? error.cause.message : 'a table or column is missing'
      throw new MigrationError(`migration ${number} (${name}) failed: ${reason}`, { cause: error.cause })
    }
    throw error
  }
}

async function statusIn(transaction: Transaction, migrations: readonly Migration[]): Promise<MigrationStatus> {
  const known = byNumber(migrations)
  const applied = await appliedIn(transaction)
  for (const { number, name, checksum } of applied) {
    const migration = known.get(number)
    if (migration === undefined) {
      throw new MigrationError(
        `the database has migration ${number} (${name}), which this Corral does not know: start the newer Corral that applied it`,
      )
    }
    if (checksumOf(migration) !== checksum) {
      throw new MigrationError(`migration ${number} (${name}) is not the one that was applied: its text was changed since`)
    }
  }
  const done = new Set(applied.map(({ number }) => number))
  return { applied, pending: [...known.values()].filter(({ number }) => !done.has(number)) }
}

function byNumber(migrations: readonly Migration[]): ReadonlyMap<number, Migration> {
  const sorted = [...migrations].toSorted((one, other) => one.number - other.number)
  const map = new Map(sorted.map((migration) => [migration.number, migration]))
  if (map.size !== sorted.length) throw new Error('two migrations have the same number')
  return map
}

async function appliedIn(transaction: Transaction): Promise<readonly AppliedMigration[]> {
  const { rows: found } = await transaction.query(`select to_regclass('corral_migrations') is not null as is_there`)
  if (found[0]?.['is_there'] !== true) return []
  const { rows } = await transaction.query('select number, name, checksum, applied_at from corral_migrations order by number')
  return rows.map(({ number, name, checksum, applied_at: appliedAt }) => {
    if (typeof number !== 'number' || !(appliedAt instanceof Date)) throw new Error('corral_migrations has other columns than ours')
    return { number, name: String(name), checksum: String(checksum), appliedAt }
  })
}

/** Whether the user is not bound by policies, as SQL. */
const isUnbound = `(select rolsuper or rolbypassrls from pg_roles where rolname = current_user)`

const roleSql = `do $$ begin
  if ${isUnbound} and not exists (select from pg_roles where rolname = '${tenantRole}') then
    begin
      create role ${tenantRole} nologin;
      execute format('grant ${tenantRole} to %I', current_user);
    exception when duplicate_object or unique_violation then
      null; -- made at the same moment for another database of the same server
    end;
  end if;
end $$`

const grantSql = `do $$ begin
  if ${isUnbound} then
    execute format('grant usage on schema %I to ${tenantRole}', current_schema());
    execute format('grant select, insert, update, delete on all tables in schema %I to ${tenantRole}', current_schema());
    execute format('grant usage on all sequences in schema %I to ${tenantRole}', current_schema());
    revoke all on corral_migrations from ${tenantRole};
  end if;
end $$`
