/**
 * The one way to SQL. Two makers give the same type: `postgres` (a pool, safe behind PgBouncer in transaction mode) and
 * `embedded` (PGlite in a worker thread). There is no query outside a transaction: tenancy, timeouts and retries of conflicts
 * live in `tx`, so nobody can forget them. No session state, `LISTEN` or session locks (ARCHITECTURE §4, Store).
 */

/** A row as the driver gives it; decode it at the edge of the feature that asked. */
export type Row = Readonly<Record<string, unknown>>

export interface QueryResult {
  readonly rows: readonly Row[]
  /** Rows touched by a statement that returns none. */
  readonly rowCount: number
}

export interface Transaction {
  /**
   * Runs one statement with `$1` parameters, after those that were asked for before; what is asked for at once costs one round trip.
   * `bigint` columns arrive as strings, `bytea` as Buffer, `timestamptz` as Date, `jsonb` parsed.
   */
  readonly query: (text: string, values?: readonly unknown[]) => Promise<QueryResult>
  /** The same for the last statement of a transaction that only reads: its end goes in the same round trip, and no statement may follow. */
  readonly last: (text: string, values?: readonly unknown[]) => Promise<QueryResult>
}

/** The transaction as work sees it that may not end it: what would be its last statement is followed by others. */
export function goingOn({ query }: Pick<Transaction, 'query'>): Transaction {
  return { query, last: query }
}

/**
 * Whose rows a transaction sees: those of one tenant, held by row-level security, or all of them for the gateway's own
 * upkeep (migrations, keys looked up before a tenant is known, batches over tenants).
 */
export type TransactionScope = { readonly tenant: string } | 'system'

export interface TransactionOptions {
  /** What it is for, in a word or three of the source's own: under this name its time is counted. */
  readonly name?: string
  /** The server ends a statement after this long; default `store.statementTimeoutMs`. */
  readonly statementTimeoutMs?: number
  /** The whole transaction is rolled back after this long; default `store.transactionTimeoutMs`, and never under `statementTimeoutMs`. */
  readonly transactionTimeoutMs?: number
  /** Refuses writes; lets a retry after a lost connection be safe. */
  readonly readOnly?: boolean
}

/** A rule of the schema that a write would have broken. */
export type ConstraintKind = 'unique' | 'foreign_key' | 'check' | 'not_null' | 'exclusion'

/** A constraint violation: an answer of the database that a feature may act on, not a failure of the store. */
export class ConstraintError extends Error {
  override readonly name = 'ConstraintError'
  readonly kind: ConstraintKind
  /** The constraint's name; of a `not_null`, the column's. */
  readonly constraint: string
  readonly table: string

  constructor({ kind, constraint, table, cause }: { kind: ConstraintKind; constraint: string; table: string; cause?: unknown }) {
    super(`${kind} constraint ${constraint} on ${table}`, { cause })
    this.kind = kind
    this.constraint = constraint
    this.table = table
  }
}

export interface Database {
  readonly kind: 'embedded' | 'postgres'
  /**
   * Runs `work` in one transaction: commits when it resolves, rolls back when it rejects. Serialization failures and deadlocks
   * are retried at most 3 times with jitter, so `work` must have no effect but its queries. Throws `store_unavailable` (no connection in time,
   * connection lost, disk full), `store_timeout`, or what `work` throws; a constraint violation arrives as `ConstraintError`.
   */
  tx<T>(scope: TransactionScope, work: (transaction: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T>
  /** Ends running transactions, then the connections. */
  close(): Promise<void>
}

/** Whether other processes write to it, too: an embedded store belongs to one. */
export function isShared({ kind }: Pick<Database, 'kind'>): boolean {
  return kind === 'postgres'
}

/**
 * How often to look for what other processes wrote. Where there is none a look only heals what an earlier one that failed has left, and
 * each costs a round trip to the store's thread.
 */
export function lookEveryMs(database: Pick<Database, 'kind'>): number {
  return isShared(database) ? 1_000 : 10_000
}
