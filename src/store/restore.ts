/**
 * Puts a backup in place of the embedded store: reads the file once to see that it is whole, builds a new database beside the present
 * one, and changes places at the end. What was there is kept under another name.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { BackupError, type BackupHead, type BackupReader, readBackup } from './backup-file.ts'
import { copyLimits, finishTarget, prepareTarget, writeRows, writeSequences } from './copy.ts'
import { type Database, type Transaction } from './database.ts'
import { createEmbedded, type EmbeddedOptions } from './embedded.ts'
import { databaseFolder } from './embedded-folder.ts'
import { lockFolder } from './folder-lock.ts'
import { applyPending, checksumOf, migrate, MigrationError } from './migrate.ts'
import { type Migration } from './migration.ts'
import { compareCount, type MovedTable } from './move.ts'
import { type StoreDeps } from './openable.ts'

export interface Restored {
  readonly tables: readonly MovedTable[]
  /** Where the database that was there before lies now; null when there was none. */
  readonly before: string | null
}

export interface RestoreDeps extends StoreDeps {
  readonly migrations: readonly Migration[]
}

/**
 * Puts the store of `file` into `options.dataDir`. Throws `FolderInUseError` while a process runs on it, `BackupError`, or
 * `MigrationError`; then everything is as it was.
 */
export async function restore(options: EmbeddedOptions, file: string, deps: RestoreDeps): Promise<Restored> {
  const { dataDir } = options
  const { clock, random } = deps
  const lost = Promise.withResolvers<never>()
  lost.promise.catch(() => {})
  const onLost = (): void => lost.reject(new BackupError(`the lock of ${dataDir} was taken away`))
  const lock = lockFolder(dataDir, { clock, random, onLost })
  const workshop = join(dataDir, `restore.new-${process.pid}`)
  try {
    await checkFile(file, deps.migrations)
    rmSync(workshop, { recursive: true, force: true })
    mkdirSync(workshop, { mode: 0o700 })
    const tables = await Promise.race([build({ ...options, dataDir: workshop }, file, deps), lost.promise])
    return { tables, before: takePlace(databaseFolder(workshop), databaseFolder(dataDir), clock.wallMs()) }
  } finally {
    rmSync(workshop, { recursive: true, force: true })
    lock.release()
  }
}

function takePlace(from: string, to: string, wallMs: number): string | null {
  const stamp = new Date(wallMs).toISOString().replaceAll(/[-:]/g, '').slice(0, 15)
  const before = existsSync(to) ? `${to}.before-${stamp}` : null
  if (before !== null) renameSync(to, before)
  renameSync(from, to)
  return before
}

/** Makes a database in `options.dataDir` out of the file, closed at the end. */
async function build(options: EmbeddedOptions, file: string, deps: RestoreDeps): Promise<readonly MovedTable[]> {
  const database = createEmbedded(options, deps)
  try {
    await database.open()
    return await load(database, file, deps)
  } finally {
    await database.close()
  }
}

async function load(database: Database, file: string, deps: RestoreDeps): Promise<readonly MovedTable[]> {
  const fill = async (to: Transaction): Promise<readonly MovedTable[]> => {
    const backup = await readBackup(file)
    const { head } = backup
    await applyPending(to, migrationsOf(head, deps.migrations))
    await fillTables(to, backup)
    return head.tables.map(({ name, rowCount }) => ({ name, rowCount }))
  }
  const tables = await database.tx('system', fill, copyLimits)
  await migrate(database, deps.migrations, deps.clock)
  return tables
}

async function fillTables(to: Transaction, { head, batches }: BackupReader): Promise<void> {
  const names = head.tables.map(({ name }) => name)
  const made = await prepareTarget(to, names)
  for await (const { shape, rows } of batches) await writeRows(to, shape, rows)
  await writeSequences(to, head.sequences)
  await finishTarget(to, { tables: names, made })
  for (const shape of head.tables) await compareCount(to, shape)
}

/** The migrations that had been applied when the backup was written: its rows fit those. */
function migrationsOf({ migrations: applied }: BackupHead, known: readonly Migration[]): readonly Migration[] {
  return applied.map(({ number, checksum }) => {
    const migration = known.find((candidate) => candidate.number === number)
    if (migration !== undefined && checksumOf(migration) === checksum) return migration
    throw new MigrationError(`the backup needs migration ${number} as its writer had it: restore with that Corral or a newer one`)
  })
}

/** Reads the whole file once before anything is made, so that a bad one costs nothing. */
async function checkFile(file: string, migrations: readonly Migration[]): Promise<void> {
  const { head, batches } = await readBackup(file)
  migrationsOf(head, migrations)
  for await (const batch of batches) void batch
}
