/**
 * The file of a backup: gzipped JSON lines with a head (migrations, tables, numbers of rows), the rows as text, and an end, without
 * which it counts as cut short. It depends neither on the version of Postgres nor on that of Corral.
 */
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { z } from 'zod'

import { type SequenceState, type TableShape, type TextRow } from './copy.ts'

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

export type BackupHead = z.infer<typeof headLine>

/** The first line of a backup. */
export function headOf({ migrations, tables, sequences }: HeadParts): unknown {
  return { format: 'corral-backup', version: formatVersion, migrations, tables, sequences }
}

interface HeadParts {
  readonly migrations: readonly { readonly number: number; readonly checksum: string }[]
  readonly tables: readonly TableShape[]
  readonly sequences: readonly SequenceState[]
}

/** The file is no backup, or one that was cut short or changed. */
export class BackupError extends Error {
  override readonly name = 'BackupError'
}

/** Appends a line, waiting while the disk is slower than the database. */
export async function writeLine(stream: Writable, value: unknown): Promise<void> {
  if (!stream.write(`${JSON.stringify(value)}\n`)) await once(stream, 'drain')
}

/** A backup being read: its head, and behind it the rows. */
export interface BackupReader {
  readonly head: BackupHead
  readonly batches: AsyncGenerator<Batch>
}

/** Opens a backup. Throws `BackupError`, also while the batches are read. */
export async function readBackup(file: string): Promise<BackupReader> {
  const lines = linesOf(file)
  const head = parseLine(headLine, (await lines.next()).value, file)
  return { head, batches: batchesOf(lines, head, file) }
}

interface Batch {
  readonly shape: TableShape
  readonly rows: readonly TextRow[]
}

/** The rows behind the head, up to the end, which has to be there and to be the last. */
async function* batchesOf(lines: AsyncGenerator<string>, head: BackupHead, file: string): AsyncGenerator<Batch> {
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
