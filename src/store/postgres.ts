/**
 * Postgres by a pool of connections, direct or behind PgBouncer in transaction mode: no startup parameter beyond the driver's
 * own, no named statement, no state of a session. Every wait has an end: for a place in the pool, for a connection, for an answer.
 *
 * An error listener stands on the pool and on every connection for its whole life, because one without would end the process.
 * A connection goes back to the pool only when its transaction ended cleanly; in any doubt it is closed.
 */
import pg, { type PoolClient } from 'pg'

import { type TlsPeer } from '../base/certificate.ts'
import { type Transaction, type TransactionOptions, type TransactionScope } from './database.ts'
import { type StoreOptions } from './options.ts'
import { limitsOf, type TransactSettings } from './open-transaction.ts'
import { abandon, OneWriteClient } from './one-write.ts'
import { OutageLog } from './outage-log.ts'
import { tlsPeersOf } from './postgres-peer.ts'
import { retried } from './retried.ts'
import { unavailable } from './sql-errors.ts'
import { type Connections, type OpenableDatabase, type StoreDeps } from './openable.ts'
import { transact, type TransactVerdict } from './transact.ts'

export type PostgresOptions = Omit<StoreOptions, 'url'> & { readonly url: string }

/** How long `close` waits for running transactions. */
const closeGraceMs = 2_000
const keepAliveDelayMs = 10_000

/** A connection out of the pool: given back once. */
class Lease {
  readonly client: PoolClient
  #held = true

  constructor(client: PoolClient) {
    this.client = client
  }

  release(reason?: Error): void {
    if (!this.#held) return
    this.#held = false
    this.client.release(reason)
    if (reason !== undefined) abandon(this.client)
  }
}

class Postgres implements OpenableDatabase {
  readonly kind = 'postgres'
  readonly #options: PostgresOptions
  readonly #deps: StoreDeps
  readonly #pool: pg.Pool
  readonly #leases = new Set<Lease>()
  readonly #outages: OutageLog | null
  #closing: Promise<void> | null = null

  constructor(options: PostgresOptions, deps: StoreDeps) {
    this.#options = options
    this.#deps = deps
    const { clock, reportOutage } = deps
    this.#outages = reportOutage === undefined ? null : new OutageLog({ clock, report: reportOutage })
    const { connectionsMax, connectTimeoutMs, idleMs } = options.pool
    this.#pool = new pg.Pool({
      connectionString: options.url,
      application_name: 'corral',
      pipeline: true,
      max: connectionsMax,
      connectionTimeoutMillis: connectTimeoutMs,
      idleTimeoutMillis: idleMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: keepAliveDelayMs,
    })
    this.#pool.on('error', (error) => deps.report('an idle connection to the database ended', error))
    // The pool listens only while a connection is idle. What happens to one in use is heard by its next statement.
    this.#pool.on('connect', (client) => client.on('error', () => {}))
  }

  async open(): Promise<void> {}

  connections(): Connections {
    const { totalCount, idleCount, waitingCount } = this.#pool
    return { used: totalCount - idleCount, idle: idleCount, waiting: waitingCount }
  }

  tlsPeers(): readonly TlsPeer[] {
    return tlsPeersOf(this.#options.url)
  }

  tx<T>(scope: TransactionScope, work: (transaction: Transaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    const { readOnly = false } = options
    const { clock, random } = this.#deps
    const limits = limitsOf(this.#options, options)
    const settings = { scope, limits, readOnly, hasServerTimeouts: true, clock }
    const done = retried(() => this.#attempt(work, settings), { readOnly, clock, random })
    return this.#outages === null ? done : this.#outages.watch(done)
  }

  async #attempt<T>(work: (transaction: Transaction) => Promise<T>, settings: TransactSettings): Promise<TransactVerdict<T>> {
    const lease = new Lease(await this.#acquire())
    this.#leases.add(lease)
    const verdict = await transact(new OneWriteClient(lease.client), work, settings)
    this.#leases.delete(lease)
    lease.release(verdict.kind === 'failed' && !verdict.usable ? new Error('unusable') : undefined)
    return verdict
  }

  async #acquire(): Promise<PoolClient> {
    const { acquireTimeoutMs, waitersMax, connectionsMax } = this.#options.pool
    const pool = this.#pool
    if (this.#closing !== null) throw unavailable('the database is being closed')
    if (pool.waitingCount >= waitersMax && pool.idleCount === 0 && pool.totalCount >= connectionsMax) {
      throw unavailable(`${waitersMax} transactions already wait for a connection to the database`)
    }
    const connecting = pool.connect()
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = this.#deps.clock.after(acquireTimeoutMs, () => {
      reject(unavailable(`no free connection to the database within ${acquireTimeoutMs} ms`))
      connecting.then(
        (client) => client.release(),
        (error: unknown) => this.#deps.report('connecting to the database failed', error),
      )
    })
    try {
      return await Promise.race([connecting.catch(refuse), late])
    } finally {
      timer.cancel()
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const ended = this.#pool.end()
    const timer = this.#deps.clock.after(closeGraceMs, () => {
      for (const lease of this.#leases) lease.release(new Error('closing'))
    })
    await ended
    timer.cancel()
  }
}

function refuse(error: unknown): never {
  throw unavailable('cannot connect to the database', error)
}

/** A pool on `options.url`. Connects with the first transaction. */
export function createPostgres(options: PostgresOptions, deps: StoreDeps): OpenableDatabase {
  return new Postgres(options, deps)
}
