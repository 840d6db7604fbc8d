/** The folders that configuration names, each as a watch that feeds its collection; a collection that is not there yet is made. */
import type { Clock } from '../base/clock.ts'
import type { CollectionSettings } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import type { Ingest } from '../ingest/ingest.ts'
import type { IngestOptions } from '../ingest/job-options.ts'
import { watchInto } from '../ingest/watch-collection.ts'
import type { FolderWatch } from '../ingest/watch.ts'
import { createCollection, getCollection } from '../search/collections.ts'
import type { Database } from '../store/database.ts'

export interface WatchedFoldersDeps {
  readonly database: Database
  readonly clock: Clock
  readonly ingest: Ingest
  readonly options: () => IngestOptions
  readonly newId: () => string
  readonly newSettings: () => Promise<CollectionSettings>
  readonly onTrouble: (message: string, cause: unknown) => void
}

/** Starts a watch for each folder. One whose collection cannot be made is told of and left alone; the others go on. */
export async function watchFolders(deps: WatchedFoldersDeps): Promise<readonly FolderWatch[]> {
  const watches: FolderWatch[] = []
  for (const folder of deps.options().folders) {
    try {
      const collection = await collectionOf(folder, deps)
      const watch = watchInto(
        {
          ...folder,
          folder: folder.path,
          collection,
          // As it is when a file is looked at.
          get bytesMax() {
            return deps.options().sourceBytesMax
          },
        },
        {
          ...deps,
          onLoss: (reason) => deps.onTrouble(`folder ${folder.name}: ${reason}`, null),
          onSkipped: (document, reason) => deps.onTrouble(`folder ${folder.name}: ${document} was not taken: ${reason}`, null),
        },
      )
      watch.start()
      watches.push(watch)
    } catch (error) {
      deps.onTrouble(`folder ${folder.name} is not watched`, error)
    }
  }
  return watches
}

type Folder = IngestOptions['folders'][number]

async function collectionOf({ tenant, collection: name }: Folder, deps: WatchedFoldersDeps): Promise<string> {
  const { database, newId } = deps
  const find = () =>
    database.tx({ tenant }, (transaction) => getCollection(transaction, { tenant, name }), { name: 'find_collection', readOnly: true })
  const known = await find()
  if (known !== null) return known.id
  const settings = await deps.newSettings()
  try {
    const made = await database.tx({ tenant }, (transaction) => createCollection(transaction, { tenant, id: newId(), name, settings }), {
      name: 'create_collection',
    })
    return made.id
  } catch (error) {
    // Another replica was quicker.
    const theirs = error instanceof CorralError && error.code === 'conflict' ? await find() : null
    if (theirs === null) throw error
    return theirs.id
  }
}
