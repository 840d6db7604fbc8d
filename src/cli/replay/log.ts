/**
 * The requests of a log, for a replay: lines of the access log, or of `corral usage --history` as JSON or CSV. Only counts and times are read.
 * What no node served (answers from a cache, refusals, questions about models) is counted and left out: there is nothing to place.
 */
import { z } from 'zod'

import { canonicalModelName } from '../../wire/model-name.ts'
import { CliError, exitCodes } from '../exit-code.ts'
import { type Fields, logLinesOf } from './log-lines.ts'

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

/** More than a week at a request a second; the memory they take is some 200 MB. */
const requestsMax = 1_000_000
const foreignNamed = 5
/** More models or nodes than these are no log of one fleet. */
const namesMax = 1_000
/** What a request could have had at most; a line that says more is none. */
const tokensMax = 100_000_000
const timeMsMax = 7 * 86_400_000
const statusMax = 599

/** Reads all of the file. Throws `CliError` for a file that cannot be read and for one without a request that a node served. */
export async function readRequestLog(file: string): Promise<RequestLog> {
  const requests: LoggedRequest[] = []
  const foreign: number[] = []
  let foreignCount = 0
  let unserved = 0
  const names = { models: new Set<string>(), nodes: new Set<string>() }
  for await (const { number, fields } of logLinesOf(file)) {
    const read = fields === null ? null : requestOf(fields)
    if (read === 'unserved') unserved += 1
    else if (read !== null) {
      requests.push(read)
      names.models.add(read.model)
      names.nodes.add(read.node)
    } else {
      foreignCount += 1
      if (foreign.length < foreignNamed) foreign.push(number)
    }
    if (requests.length > requestsMax) {
      throw new CliError(
        exitCodes.usage,
        `${file}: more than ${requestsMax} requests; take a shorter time (corral usage --history --from 7d)`,
      )
    }
    for (const [what, { size }] of Object.entries(names)) {
      if (size > namesMax) throw new CliError(exitCodes.usage, `${file}: more than ${namesMax} ${what}; expected the log of one fleet`)
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

/** Null: no request. */
function requestOf(fields: Fields): LoggedRequest | 'unserved' | null {
  if (fields['msg'] !== undefined && fields['msg'] !== 'request') return null
  const endedAtMs = Date.parse(textOf(fields['at'] ?? fields['time']) ?? '')
  const status = countOf(fields['status'], statusMax)
  const times = timesShape.safeParse(fields).data
  const tokens = tokensShape.safeParse(fields).data
  if (Number.isNaN(endedAtMs) || typeof status !== 'number' || tokens === undefined || times === undefined) return null
  const { durationMs, ...phases } = times
  if (durationMs === null) return null
  const model = textOf(fields['model'])
  const node = textOf(fields['node'])
  const promptTokens = (tokens.promptTokens ?? tokens.inputTokens ?? 0) - (tokens.cachedPromptTokens ?? 0)
  const outputTokens = tokens.outputTokens ?? 0
  const isOfCache = ['hit', 'joined'].includes(textOf(fields['cache']) ?? '')
  if (model === null || node === null || status >= 400 || isOfCache || promptTokens + outputTokens <= 0) return 'unserved'
  const spent = { promptTokens: Math.max(1, promptTokens), outputTokens }
  return { model: canonicalModelName(model), node, endedAtMs, arrivedAtMs: endedAtMs - durationMs, ...spent, ...phases }
}

/** A cell that a spreadsheet would run has a quote in front (`limits/usage-csv.ts`). */
function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value.replace(/^'(?=[=+\-@])/, '') : null
}

/** A number from 0 to `most`; null where the line does not say. */
function upTo(most: number) {
  return z
    .unknown()
    .optional()
    .transform((value, context) => {
      const count = countOf(value, most)
      if (count !== 'no count') return count
      context.addIssue('no count')
      return z.NEVER
    })
}

const timesShape = z.object({
  durationMs: upTo(timeMsMax),
  ttftMs: upTo(timeMsMax),
  queueMs: upTo(timeMsMax),
  loadMs: upTo(timeMsMax),
  promptMs: upTo(timeMsMax),
  outputMs: upTo(timeMsMax),
})
const tokensShape = z.object({
  promptTokens: upTo(tokensMax),
  inputTokens: upTo(tokensMax),
  cachedPromptTokens: upTo(tokensMax),
  outputTokens: upTo(tokensMax),
})

/** Null: the line does not say. */
function countOf(value: unknown, most: number): number | 'no count' | null {
  if (value === undefined || value === null || value === '') return null
  const count = typeof value === 'number' || typeof value === 'string' ? Number(value) : NaN
  return count >= 0 && count <= most ? count : 'no count'
}
