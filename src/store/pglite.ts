/**
 * How PGlite is started, the same for making a database and for running one. The extension has to be named at each start.
 * `shared_buffers=8MB` saves 137 MB against the default (185 MB in all instead of 322, measured), since the operating system caches
 * the files anyway. No library is preloaded: `postgresql.conf` of a database that an early Corral made names pg_textsearch, which is no longer
 * shipped, and Postgres would not start.
 */
import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'

const startParams = [...PGlite.defaultStartParams, '-c', 'shared_buffers=8MB', '-c', 'shared_preload_libraries=']

/** Opens the database in `folder`, recovering it when it was not closed; makes it when the folder is empty. */
export function openPglite(folder: string): Promise<PGlite> {
  return PGlite.create({ dataDir: folder, extensions: { vector }, startParams })
}
