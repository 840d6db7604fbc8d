/** What both makers of a database are given, and what they add to `Database`: an opening, for whoever puts the application together. */
import { type TlsPeer } from '../base/certificate.ts'
import { type Clock } from '../base/clock.ts'
import { type Database } from './database.ts'

/** A database that is opened once. */
export interface OpenableDatabase extends Database {
  /**
   * Embedded: takes the folder's lock, makes the database on the first start and starts it; throws `FolderInUseError` when another
   * process has it, `store_unavailable` when it cannot be opened. Postgres: nothing, since it may well come later.
   */
  open(): Promise<void>
  /** Those of this process at this moment, and transactions that wait for one. */
  connections(): Connections
  /** Where its server speaks TLS; empty: it does not, or there is none. Throws when a file that the URL names cannot be read. */
  tlsPeers(): readonly TlsPeer[]
}

export interface Connections {
  readonly used: number
  readonly idle: number
  readonly waiting: number
}

export interface StoreDeps {
  readonly clock: Clock
  /** From 0 to 1, for jitter. */
  readonly random: () => number
  /** Hears of what no caller hears of: an idle connection that died, a worker that was started anew. */
  readonly report: (message: string, cause: unknown) => void
  /** Hears why transactions fail that their callers are told little of. Left out: callers are told themselves, as at the command line. */
  readonly reportOutage?: (message: string, cause: unknown) => void
}
