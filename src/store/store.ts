/**
 * Makes the database that the options ask for. Neither maker touches the network or the disk before `open`, so that an
 * application can be put together first; a transaction that comes before waits for the opening as for a free connection.
 */
import { type Clock } from '../base/clock.ts'
import { type Database } from './database.ts'
import { type Embedded } from './embedded.ts'
import { type StoreOptions } from './options.ts'

/** A database that is opened once. */
export interface OpenableDatabase extends Database {
  /**
   * Embedded: takes the folder's lock, makes the database on the first start and starts it; throws `FolderInUseError` when another
   * process has it, `store_unavailable` when it cannot be opened. Postgres: nothing, since it may well come later.
   */
  open(): Promise<void>
}

export interface StoreDeps {
  readonly clock: Clock
  /** From 0 to 1, for jitter. */
  readonly random: () => number
  /** Hears of what no caller hears of: an idle connection that died, a worker that was started anew. */
  readonly report: (message: string, cause: unknown) => void
}

export type AnyDatabase = Embedded | OpenableDatabase

/** The database of `options`. The drivers load only here: without a store no process pays for them. */
export async function createDatabase(options: StoreOptions & { readonly dataDir: string }, deps: StoreDeps): Promise<AnyDatabase> {
  if (options.url !== null) {
    const { createPostgres } = await import('./postgres.ts')
    return createPostgres({ ...options, url: options.url }, deps)
  }
  const { createEmbedded } = await import('./embedded.ts')
  return createEmbedded(options, deps)
}
