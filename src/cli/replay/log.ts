/**
 * The requests of a log, for a replay: lines of the access log, or of `corral usage --history` as JSON or CSV. Only counts and times are read.
 * What no node served (answers from a cache, refusals, questions about models) is counted and left out: there is nothing to place.
 */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

import { parse } from 'csv-parse'
import { z } from 'zod'

import { canonicalModelName } from '../../wire/model-name.ts'
import { CliError, exitCodes } from '../exit-code.ts'

/** Milliseconds of the wall clock; null where the log does not say. */
export interface LoggedRequest {
  readonly model: string
  readonly node: string
  readonly arrivedAtMs: number
  readonly endedAtMs: number
  /** Without those that the node still had. */
  readonly promptTokens: number
  readonly outputTokens: number
  readonly ttftMs: number | null
  readonly queueMs: number | null
  readonly loadMs: number | null
  readonly promptMs: number | null
  readonly outputMs: number | null
}

export interface RequestLog {
  /** In the order of their arrival. */
  readonly requests: readonly LoggedRequest[]
  /** Requests that no node served. */
  readonly unserved: number
  /** Lines that are no requests: how many, and the numbers of the first. */
  readonly foreign: { readonly count: number; readonly lines: readonly number[] }
}

type Fields = Readonly<Record<string, unknown>>

interface Line {
  readonly number: number
  /** Null: not readable. */
  readonly fields: Fields | null
}

/** More than a week at a request a second; the memory they take is some 200 MB. */
const requestsMax = 1_000_000
const foreignNamed = 5

const fieldsShape = z.record(z.string(), z.unknown())
const csvRow = z.object({ record: fieldsShape, info: z.object({ lines: z.number() }) })

/** Reads all of the file. Throws `CliError` for a file that cannot be read and for one without a request that a node served. */
export async function readRequestLog(file: string): Promise<RequestLog> {
  const requests: LoggedRequest[] = []
  const foreign: number[] = []
  let foreignCount = 0
  let unserved = 0
  for await (const { number, fields } of linesOf(file)) {
    const read = fields === null ? null : requestOf(fields)
    if (read === 'unserved') unserved += 1
    else if (read !== null) requests.push(read)
    else {
      foreignCount += 1
      if (foreign.length < foreignNamed) foreign.push(number)
    }
    if (requests.length > requestsMax) {
      throw new CliError(
        exitCodes.usage,
        `${file}: more than ${requestsMax} requests; take a shorter time (corral usage --history --from 7d)`,
      )
    }
  }
  if (requests.length === 0) {
    const rest = unserved === 0 ? '' : ` (${unserved} were served by none)`
    throw new CliError(
      exitCodes.usage,
      `${file}: holds no request that a node served${rest}; expected lines of the access log, or corral usage --history --json`,
    )
  }
  return {
    requests: requests.toSorted((a, b) => a.arrivedAtMs - b.arrivedAtMs),
    unserved,
    foreign: { count: foreignCount, lines: foreign },
  }
}

async function* linesOf(file: string): AsyncGenerator<Line> {
  try {
    yield* (await isCsv(file)) ? csvLines(file) : jsonLines(file)
  } catch (error) {
    if (error instanceof Error && 'code' in error) throw new CliError(exitCodes.usage, `cannot read ${file}: ${error.message}`)
    throw error
  }
}

/** The header of an export stands in its first line; a line of JSON begins with a brace. */
async function isCsv(file: string): Promise<boolean> {
  const input = createReadStream(file)
  try {
    for await (const line of createInterface({ input, crlfDelay: Infinity })) {
      if (line.trim() !== '') return /(^|,)"?at"?,/.test(line.replace(/^\uFEFF/, ''))
    }
    return false
  } finally {
    input.destroy()
  }
}

async function* jsonLines(file: string): AsyncGenerator<Line> {
  let number = 0
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    number += 1
    if (line.trim() !== '') yield { number, fields: fieldsOf(line) }
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

async function* csvLines(file: string): AsyncGenerator<Line> {
  const options = { columns: true, bom: true, info: true, skip_empty_lines: true, relax_column_count: true, relax_quotes: true }
  const parser = parse(options)
  const input = createReadStream(file)
  input.on('error', (error) => parser.destroy(error))
  for await (const row of input.pipe(parser)) {
    const { record, info } = csvRow.parse(row)
    yield { number: info.lines, fields: record }
  }
}

/** Null: no request. */
function requestOf(fields: Fields): LoggedRequest | 'unserved' | null {
  if (fields['msg'] !== undefined && fields['msg'] !== 'request') return null
  const endedAtMs = Date.parse(textOf(fields['at'] ?? fields['time']) ?? '')
  const durationMs = countOf(fields['durationMs'])
  const status = countOf(fields['status'])
  if (Number.isNaN(endedAtMs) || durationMs === null || status === null) return null
  const model = textOf(fields['model'])
  const node = textOf(fields['node'])
  const promptTokens = (countOf(fields['promptTokens'] ?? fields['inputTokens']) ?? 0) - (countOf(fields['cachedPromptTokens']) ?? 0)
  const outputTokens = countOf(fields['outputTokens']) ?? 0
  const isOfCache = ['hit', 'joined'].includes(textOf(fields['cache']) ?? '')
  if (model === null || node === null || status >= 400 || isOfCache || promptTokens + outputTokens <= 0) return 'unserved'
  const times = { endedAtMs, arrivedAtMs: endedAtMs - durationMs, ttftMs: countOf(fields['ttftMs']), queueMs: countOf(fields['queueMs']) }
  const phases = { loadMs: countOf(fields['loadMs']), promptMs: countOf(fields['promptMs']), outputMs: countOf(fields['outputMs']) }
  return { model: canonicalModelName(model), node, promptTokens: Math.max(1, promptTokens), outputTokens, ...times, ...phases }
}

/** A cell that a spreadsheet would run has a quote in front (`limits/usage-csv.ts`). */
function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value.replace(/^'(?=[=+\-@])/, '') : null
}

function countOf(value: unknown): number | null {
  if (value === '' || (typeof value !== 'number' && typeof value !== 'string')) return null
  const count = Number(value)
  return Number.isFinite(count) && count >= 0 ? count : null
}
