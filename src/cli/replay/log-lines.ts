/**
 * The lines of a log file as fields: JSON lines, or CSV with the columns of an export. What is no such line comes with its number and without
 * fields; a line longer than `lineBytesMax` is one of those, so that no file takes more memory than that.
 */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'

import { parse } from 'csv-parse'
import { z } from 'zod'

import { CliError, exitCodes } from '../exit-code.ts'

export type Fields = Readonly<Record<string, unknown>>

export interface LogLine {
  readonly number: number
  /** Null: not readable. */
  readonly fields: Fields | null
}

interface TextLine {
  readonly number: number
  /** Null: longer than is read. */
  readonly text: string | null
}

/** A line of the access log has some 500 bytes. */
export const lineBytesMax = 1_048_576
const lineFeed = 0x0a
const readBytes = 262_144

const fieldsShape = z.record(z.string(), z.unknown())
const csvRow = z.object({ record: fieldsShape, info: z.object({ lines: z.number() }) })

/** What a file begins with that has to be made readable first, in hexadecimal. */
const unreadable: readonly { readonly start: string; readonly what: string }[] = [
  { start: '1f8b', what: 'is compressed: unpack it first (gunzip)' },
  { start: '28b52ffd', what: 'is compressed: unpack it first (zstd -d)' },
  { start: 'fffe', what: 'is UTF-16, as PowerShell redirects: save it as UTF-8' },
  { start: 'feff', what: 'is UTF-16: save it as UTF-8' },
]

/** Throws `CliError` for what cannot be read as text. */
export async function* logLinesOf(file: string): AsyncGenerator<LogLine> {
  try {
    await refuseUnreadable(file)
    yield* (await isCsv(file)) ? csvLines(file) : jsonLines(file)
  } catch (error) {
    if (error instanceof Error && 'code' in error) throw new CliError(exitCodes.usage, `cannot read ${file}: ${error.message}`)
    throw error
  }
}

/** It is read twice, so a pipe will not do. */
async function refuseUnreadable(file: string): Promise<void> {
  const handle = await open(file)
  try {
    if (!(await handle.stat()).isFile()) throw new CliError(exitCodes.usage, `${file} is no regular file: write the log to one first`)
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(4) })
    const start = buffer.toString('hex', 0, bytesRead)
    const found = unreadable.find((each) => start.startsWith(each.start))
    if (found !== undefined) throw new CliError(exitCodes.usage, `${file} ${found.what}`)
  } finally {
    await handle.close()
  }
}

async function* textLines(file: string): AsyncGenerator<TextLine> {
  let number = 0
  let held: Buffer[] = []
  let bytes = 0
  const hold = (piece: Buffer): void => {
    bytes += piece.length
    if (bytes > lineBytesMax) held = []
    else held.push(piece)
  }
  const take = (): TextLine => {
    number += 1
    const text = bytes > lineBytesMax ? null : Buffer.concat(held).toString()
    held = []
    bytes = 0
    return { number, text: number === 1 ? (text?.replace(/^\uFEFF/, '') ?? null) : text }
  }
  const chunks: AsyncIterable<Buffer> = createReadStream(file, { highWaterMark: readBytes })
  for await (const chunk of chunks) {
    let start = 0
    for (let end = chunk.indexOf(lineFeed); end !== -1; end = chunk.indexOf(lineFeed, start)) {
      hold(chunk.subarray(start, end))
      yield take()
      start = end + 1
    }
    hold(chunk.subarray(start))
  }
  if (bytes > 0) yield take()
}

/** The header of an export stands in its first line; a line of JSON begins with a brace. */
async function isCsv(file: string): Promise<boolean> {
  for await (const { text } of textLines(file)) {
    if (text === null) return false
    if (text.trim() !== '') return /(^|,)"?at"?,/.test(text)
  }
  return false
}

async function* jsonLines(file: string): AsyncGenerator<LogLine> {
  for await (const { number, text } of textLines(file)) {
    if (text === null || text.trim() !== '') yield { number, fields: text === null ? null : fieldsOf(text) }
  }
}

function fieldsOf(line: string): Fields | null {
  if (!line.startsWith('{')) return null
  try {
    return fieldsShape.safeParse(JSON.parse(line)).data ?? null
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

async function* csvLines(file: string): AsyncGenerator<LogLine> {
  const parser = parse({
    columns: true,
    bom: true,
    info: true,
    skip_empty_lines: true,
    relax_column_count: true,
    relax_quotes: true,
    max_record_size: lineBytesMax,
  })
  const input = createReadStream(file)
  input.on('error', (error) => parser.destroy(error))
  try {
    for await (const row of input.pipe(parser)) {
      const { record, info } = csvRow.parse(row)
      yield { number: info.lines, fields: record }
    }
  } finally {
    input.destroy()
  }
}
