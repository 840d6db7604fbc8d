/**
 * A watched folder that feeds a collection. Its documents carry the folder's name and their path in their metadata: that is how they are told
 * from what was uploaded, so that a file that is gone removes nothing else.
 */
import type { Database } from '../store/database.ts'
import type { Ingest } from './ingest.ts'
import { noteStillGiven } from './sources.ts'
import { FolderWatch, type WatchedFolder, type WatchFolderDeps } from './watch.ts'

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
    onLoss,
  }: Pick<WatchFolderDeps<unknown>, 'clock' | 'onSkipped' | 'onLoss'> & { ingest: Ingest; database: Database },
): FolderWatch {
  const { tenant, collection, name } = watched
  return new FolderWatch(watched, {
    clock,
    onSkipped,
    onLoss,
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
    keep: (documents) => keepFiles(database, watched, documents),
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

const keptPerStatement = 1_000

/** What failed is not gone while its job is listed: it is not tried again before the file changes. */
const goneSql = `select document from unnest($3::text[]) as file (document)
  where not exists (select 1 from rag_documents d where d.tenant = $1 and d.collection = $2 and d.id = file.document)
    and not exists (select 1 from rag_jobs j where j.tenant = $1 and j.collection = $2 and j.document = file.document)`

async function keepFiles(
  database: Database,
  { tenant, collection }: Pick<WatchedCollection, 'tenant' | 'collection'>,
  documents: readonly string[],
): Promise<string[]> {
  const gone: string[] = []
  for (let at = 0; at < documents.length; at += keptPerStatement) {
    const some = documents.slice(at, at + keptPerStatement)
    const { rows } = await database.tx(
      { tenant },
      async (transaction) => {
        await noteStillGiven(transaction, { tenant, collection, documents: some })
        return transaction.query(goneSql, [tenant, collection, some])
      },
      { name: 'keep_files' },
    )
    gone.push(...rows.map(({ document }) => String(document)))
  }
  return gone
}
