/** A database that tells of each of its transactions how long it took and whether the database was why it failed. */
import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import type { Transaction, TransactionOptions, TransactionScope } from './database.ts'
import type { OpenableDatabase } from './openable.ts'

export interface TransactionWatch {
  /** `failure`: the code of the store's failure; null where it answered, whatever `work` made of it. */
  ended(name: string, tookMs: number, failure: string | null): void
}

const unnamed = 'other'

/** `database` under the eyes of `watch`. */
export function watched(database: OpenableDatabase, watch: TransactionWatch, clock: Clock): OpenableDatabase {
  return {
    kind: database.kind,
    connections: () => database.connections(),
    tlsPeers: () => database.tlsPeers(),
    open: () => database.open(),
    close: () => database.close(),
    async tx<T>(scope: TransactionScope, work: (transaction: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T> {
      const startedAtMs = clock.nowMs()
      let failure: string | null = null
      try {
        return await database.tx(scope, work, options)
      } catch (error) {
        if (error instanceof CorralError && error.code.startsWith('store_')) failure = error.code
        throw error
      } finally {
        watch.ended(options?.name ?? unnamed, clock.nowMs() - startedAtMs, failure)
      }
    },
  }
}
