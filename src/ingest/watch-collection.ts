/**
 * A watched folder that feeds a collection. Its documents carry the folder's name and their path in their metadata: that is how they are told
 * from what was uploaded, so that a file that is gone removes nothing else.
 */
import type { Clock } from '../base/clock.ts'
import type { Database } from '../store/database.ts'
import type { Ingest } from './ingest.ts'
import { FolderWatch, type WatchedFolder } from './watch.ts'

export interface WatchedCollection extends WatchedFolder {
  /** Unique in the tenant; no part of a path. */
  readonly name: string
  readonly tenant: string
  /** The collection's id. */
  readonly collection: string
}

/** Priority of files that nobody waits for. */
const bulkPriority = 1

/** The watch of `watched`; it is not started. */
export function watchInto(
  watched: WatchedCollection,
  {
    ingest,
    database,
    clock,
    onSkipped,
  }: { ingest: Ingest; database: Database; clock: Clock; onSkipped: (document: string, reason: string) => void },
): FolderWatch {
  const { tenant, collection, name } = watched
  return new FolderWatch(watched, {
    clock,
    onSkipped,
    give: (document, bytes) =>
      ingest.submitFile(
        {
          tenant,
          collection,
          document,
          name: document.slice(document.lastIndexOf('/') + 1),
          declaredType: null,
          title: null,
          uri: null,
          metadata: { folder: name, path: document },
          priority: bulkPriority,
          isSearchableWithoutVectors: true,
          skipsDuplicates: false,
          idempotencyKey: null,
        },
        bytes,
      ),
    remove: (document) => ingest.remove({ tenant, collection, document }),
    known: () => knownFiles(database, watched),
  })
}

async function knownFiles(database: Database, { tenant, collection, name }: WatchedCollection): Promise<Map<string, string>> {
  const text = 'select id, content_hash from rag_documents where tenant = $1 and collection = $2 and metadata @> $3::jsonb'
  const { rows } = await database.tx(
    { tenant },
    (transaction) => transaction.query(text, [tenant, collection, JSON.stringify({ folder: name })]),
    { name: 'known_files', readOnly: true },
  )
  return new Map(rows.map(({ id, content_hash: hash }) => [String(id), String(hash)]))
}
