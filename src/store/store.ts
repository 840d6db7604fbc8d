/**
 * Makes the database that the options ask for. Neither maker touches the network or the disk before `open`, so that an
 * application can be put together first; a transaction that comes before waits for the opening as for a free connection.
 */
import { type OpenableDatabase, type StoreDeps } from './openable.ts'
import { type StoreOptions } from './options.ts'

export type { OpenableDatabase, StoreDeps } from './openable.ts'

/** The database of `options`. The drivers load only here: without a store no process pays for them. */
export async function createDatabase(options: StoreOptions & { readonly dataDir: string }, deps: StoreDeps): Promise<OpenableDatabase> {
  if (options.url !== null) {
    const { createPostgres } = await import('./postgres.ts')
    return createPostgres({ ...options, url: options.url }, deps)
  }
  const { createEmbedded } = await import('./embedded.ts')
  return createEmbedded(options, deps)
}
