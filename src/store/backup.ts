/**
 * Writes a backup of the embedded store: every row of every table, as of one moment. The file appears whole or not at all, readable by
 * its owner alone, since it holds the digests of keys. `restore.ts` reads it.
 */
import { createWriteStream, renameSync, rmSync } from 'node:fs'
import { type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'

import { headOf, writeLine } from './backup-file.ts'
import { copyLimits, readRows, readSequences, tableShapes } from './copy.ts'
import { type Database, type Transaction } from './database.ts'
import { type AppliedMigration, migrationStatus } from './migrate.ts'
import { type Migration } from './migration.ts'
import { type MovedTable } from './move.ts'
import { unavailable } from './sql-errors.ts'

/** Writes a backup of `database` to `file`, which is replaced when it exists. Returns what it holds. */
export async function backup(database: Database, file: string, migrations: readonly Migration[]): Promise<readonly MovedTable[]> {
  const { applied } = await migrationStatus(database, migrations)
  const unfinished = `${file}.new-${process.pid}`
  const gzip = createGzip()
  const written = pipeline(gzip, createWriteStream(unfinished, { mode: 0o600, flush: true }))
  let runs = 0
  const write = (transaction: Transaction): Promise<readonly MovedTable[]> => {
    runs += 1
    // A transaction that only reads is repeated when its connection is lost, but half of it stands in the file.
    if (runs > 1) throw unavailable('the database went away during the backup')
    return writeAll(transaction, gzip, applied)
  }
  try {
    const tables = await Promise.race([database.tx('system', write, { ...copyLimits, readOnly: true }), failure(written)])
    await writeLine(gzip, { end: true })
    gzip.end()
    await written
    renameSync(unfinished, file)
    return tables
  } catch (error) {
    gzip.destroy()
    await written.catch(() => {})
    rmSync(unfinished, { force: true })
    throw error
  }
}

async function writeAll(from: Transaction, file: Writable, applied: readonly AppliedMigration[]): Promise<readonly MovedTable[]> {
  const tables = await tableShapes(from)
  const migrations = applied.map(({ number, checksum }) => ({ number, checksum }))
  await writeLine(file, headOf({ migrations, tables, sequences: await readSequences(from) }))
  for (const [table, shape] of tables.entries()) {
    for await (const rows of readRows(from, shape)) await writeLine(file, { table, rows })
  }
  return tables.map(({ name, rowCount }) => ({ name, rowCount }))
}

/** Rejects when `done` does: a full disk ends the backup at once. */
async function failure(done: Promise<void>): Promise<never> {
  await done
  throw new Error('the backup ended before its last line')
}
