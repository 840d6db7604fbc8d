/** Ingest at play in tests, embedded and through PgBouncer: one store for a block of tests, emptied for each of them. */
import { afterAll, beforeAll, onTestFinished } from 'vitest'

import type { IngestOptions } from '../../src/ingest/job-options.ts'
import type { Database } from '../../src/store/database.ts'
import { describeStores, serverKinds, type Servers } from '../store/stores.ts'
import { collection, emptyStore, play, type Played, prepareStore } from './pipeline-play.ts'

export interface IngestBlock {
  readonly servers: Servers
  /** Open while a test runs. */
  readonly store: Database
}

export function describeIngest(suite: (block: IngestBlock) => void): void {
  describeStores(['embedded', ...(serverKinds.length > 0 ? (['pgbouncer'] as const) : [])], (servers) => {
    let store: Database
    beforeAll(async () => {
      store = await servers.open()
      await prepareStore(store, [])
    })
    afterAll(() => store.close())
    suite({
      servers,
      get store() {
        return store
      },
    })
  })
}

/** Ingest for one test on `database`, emptied, with these collections; not at work yet. */
export async function played(
  database: Database,
  overrides: Partial<IngestOptions> = {},
  ids: readonly string[] = [collection],
): Promise<Played> {
  await emptyStore(database)
  await prepareStore(database, ids)
  const made = play(database, overrides)
  onTestFinished(() => made.ingest.close())
  return made
}

/** The same, at work. */
export async function started(database: Database, overrides: Partial<IngestOptions> = {}): Promise<Played> {
  const made = await played(database, overrides)
  made.ingest.start()
  return made
}
