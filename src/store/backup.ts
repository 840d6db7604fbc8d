/**
 * A backup of the embedded store in one file: gzipped JSON lines with a head (schema, tables, numbers of rows), the rows as text, and an
 * end. It does not depend on the version of Postgres or of Corral that wrote it, as long as the migrations that it names are known.
 * The file appears whole or not at all, readable by its owner alone, since it holds the hashes of keys.
 *
 * A restore builds a new database beside the present one and changes places at the end; what was there is kept under another name.
 */
import { once } from 'node:events'
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { z } from 'zod'

import {
  copyLimits,
  finishTarget,
  prepareTarget,
  readRows,
  readSequences,
  type TableShape,
  tableShapes,
  type TextRow,
  writeRows,
  writeSequences,
} from './copy.ts'
import { type Database, type Transaction } from './database.ts'
import { createEmbedded, type EmbeddedOptions } from './embedded.ts'
import { databaseFolder } from './embedded-folder.ts'
import { lockFolder } from './folder-lock.ts'
import { applyPending, checksumOf, migrate, MigrationError, migrationStatus } from './migrate.ts'
import { type Migration } from './migration.ts'
import { compareCount, type MovedTable } from './move.ts'
import { type StoreDeps } from './store.ts'

const formatVersion = 1

const headLine = z.strictObject({
  format: z.literal('corral-backup'),
  version: z.literal(formatVersion),
  migrations: z.array(z.strictObject({ number: z.int(), checksum: z.string() })),
  tables: z.array(
    z.strictObject({
      name: z.string(),
      columns: z.array(z.strictObject({ name: z.string(), type: z.string() })),
      rowCount: z.int(),
    }),
  ),
  sequences: z.array(z.strictObject({ name: z.string(), lastValue: z.string(), isCalled: z.boolean() })),
})
const rowsLine = z.strictObject({ table: z.int().min(0), rows: z.array(z.array(z.string().nullable())) })
const endLine = z.strictObject({ end: z.literal(true) })

type Head = z.infer<typeof headLine>

/** The file is no backup, or one that was cut short or changed. */
export class BackupError extends Error {
  override readonly name = 'BackupError'
}

/** Writes a backup of `database` to `file`, which is replaced when it exists. Returns what it holds. */
export async function backup(database: Database, file: string, migrations: readonly Migration[]): Promise<readonly MovedTable[]> {
  const { applied } = await migrationStatus(database, migrations)
  const unfinished = `${file}.new-${process.pid}`
  const gzip = createGzip()
  const written = pipeline(gzip, createWriteStream(unfinished, { mode: 0o600, flush: true }))
  try {
    const write = async (transaction: Transaction): Promise<readonly MovedTable[]> => {
      const tables = await tableShapes(transaction)
      const head = {
        format: 'corral-backup',
        version: formatVersion,
        migrations: applied.map(({ number, checksum }) => ({ number, checksum })),
        tables: [...tables],
        sequences: [...(await readSequences(transaction))],
      }
      await writeLine(gzip, head)
      for (const [table, shape] of tables.entries()) {
        for await (const rows of readRows(transaction, shape)) await writeLine(gzip, { table, rows })
      }
      return tables.map(({ name, rowCount }) => ({ name, rowCount }))
    }
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

/** Rejects when `done` does: a full disk ends the backup at once. */
async function failure(done: Promise<void>): Promise<never> {
  await done
  throw new Error('the backup ended before its last line')
}

async function writeLine(stream: Writable, value: unknown): Promise<void> {
  if (!stream.write(`${JSON.stringify(value)}\n`)) await once(stream, 'drain')
}

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

/** Reads the whole file once before anything is made, so that a bad one costs nothing. */
async function checkFile(file: string, migrations: readonly Migration[]): Promise<void> {
  const lines = linesOf(file)
  const head = parseLine(headLine, (await lines.next()).value, file)
  migrationsOf(head, migrations)
  for await (const batch of batchesOf(lines, head, file)) void batch
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
    const lines = linesOf(file)
    const head = parseLine(headLine, (await lines.next()).value, file)
    await applyPending(to, migrationsOf(head, deps.migrations))
    await fillTables(to, head, { lines, file })
    return head.tables.map(({ name, rowCount }) => ({ name, rowCount }))
  }
  const tables = await database.tx('system', fill, copyLimits)
  await migrate(database, deps.migrations, deps.clock)
  return tables
}

async function fillTables(to: Transaction, head: Head, { lines, file }: { lines: AsyncGenerator<string>; file: string }): Promise<void> {
  const names = head.tables.map(({ name }) => name)
  await prepareTarget(to, names)
  for await (const { shape, rows } of batchesOf(lines, head, file)) await writeRows(to, shape, rows)
  await writeSequences(to, head.sequences)
  await finishTarget(to, names)
  for (const shape of head.tables) await compareCount(to, shape)
}

interface Batch {
  readonly shape: TableShape
  readonly rows: readonly TextRow[]
}

/** The rows behind the head, up to the end, which has to be there and to be the last. */
async function* batchesOf(lines: AsyncGenerator<string>, head: Head, file: string): AsyncGenerator<Batch> {
  let isWhole = false
  for await (const line of lines) {
    if (isWhole) throw new BackupError(`${file} goes on behind its end`)
    const value = parseLine(z.union([rowsLine, endLine]), line, file)
    if ('end' in value) {
      isWhole = true
      continue
    }
    const shape = head.tables[value.table]
    if (shape === undefined) throw new BackupError(`${file} has rows of a table that it does not name`)
    yield { shape, rows: value.rows }
  }
  if (!isWhole) throw new BackupError(`${file} is cut short`)
}

/** The migrations that had been applied when the backup was written: its rows fit those. */
function migrationsOf({ migrations: applied }: Head, known: readonly Migration[]): readonly Migration[] {
  return applied.map(({ number, checksum }) => {
    const migration = known.find((candidate) => candidate.number === number)
    if (migration !== undefined && checksumOf(migration) === checksum) return migration
    throw new MigrationError(`the backup needs migration ${number} as its writer had it: restore with that Corral or a newer one`)
  })
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const unzipped = createGunzip()
  const read = pipeline(createReadStream(file), unzipped)
  // What fails is thrown below, by the reader of the lines or by the last await.
  read.catch(() => {})
  try {
    yield* createInterface({ input: unzipped, crlfDelay: Infinity })
    await read
  } catch (error) {
    throw new BackupError(`${file} cannot be read: ${error instanceof Error ? error.message : 'no gzip'}`, { cause: error })
  } finally {
    unzipped.destroy()
  }
}

function parseLine<T>(schema: z.ZodType<T>, line: unknown, file: string): T {
  let value: unknown
  try {
    value = typeof line === 'string' ? JSON.parse(line) : undefined
  } catch (error) {
    throw new BackupError(`${file} is not a backup of Corral`, { cause: error })
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new BackupError(`${file} is not a backup that this Corral can read`)
  return parsed.data
}
