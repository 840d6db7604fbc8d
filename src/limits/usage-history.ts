/**
 * The records one by one, newest first, for `/admin/requests/history`: who asked what when, and how it went; and one of them with its
 * words, where those are kept. A tenant sees its own rows (row-level security holds it); the operator sees all.
 *
 * A page ends with a cursor that is signed and bound to whose rows it was made over, so that none can be made up or carried into
 * another tenant. It says where the page ended, not what was asked for: the filters come with each request.
 */
import { z } from 'zod'

import { createCursors, type Cursors } from '../base/cursors.ts'
import { CorralError } from '../core/errors.ts'
import type { HistoryDetail, HistoryEntry, HistoryPage } from '../core/request-history.ts'
import { pageLimit, parseParameters } from '../core/query-parameters.ts'
import type { Database, Row } from '../store/database.ts'
import { conditionsOf, filterFields, formatField } from './usage-query.ts'

const limitUsual = 100
const limitMax = 1_000
const name = z.string().min(1).max(256)

const outcomes = ['ok', 'client_gone', 'truncated', 'node_error', 'client_error', 'rejected', 'internal'] as const

const historyQuery = z.strictObject({
  ...filterFields,
  route: name.optional(),
  outcome: z.enum(outcomes).optional(),
  limit: pageLimit(limitMax).default(limitUsual),
  /** Cursor of the page before. */
  before: z.string().max(200).optional(),
  format: formatField,
})

/** `format` is for whoever writes the page out. */
export type HistoryQuery = Omit<z.infer<typeof historyQuery>, 'format'>
export type HistoryAsked = z.infer<typeof historyQuery>

/** Reads query parameters. Throws `invalid_request`. */
export function parseHistoryQuery(parameters: Readonly<Record<string, string>>): HistoryAsked {
  return parseParameters(historyQuery, parameters)
}

export class UsageHistory {
  readonly #database: Database
  readonly #cursors: Cursors

  /** `secret`: of the installation; replicas share it. */
  constructor(database: Database, secret: string) {
    this.#database = database
    this.#cursors = createCursors(secret, 'usage history')
  }

  /** A page. `within`: the tenant whose rows may be seen; null: all. Throws `invalid_request` for a cursor that is not from here. */
  async read(query: HistoryQuery, within: string | null): Promise<HistoryPage> {
    const { conditions, values } = conditionsOf(query, within)
    const add = (condition: (place: string) => string, value: unknown): void => {
      if (value === undefined) return
      values.push(value)
      conditions.push(condition(`$${values.length}`))
    }
    add((place) => `route = ${place}`, query.route)
    add((place) => `outcome = ${place}`, query.outcome)
    if (query.before !== undefined) {
      const { at, id } = this.#openCursor(query.before, within)
      values.push(at, id)
      conditions.push(`(at, id) < ($${values.length - 1}::timestamptz, $${values.length}::bigint)`)
    }
    const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
    // `at` and `id` without their table would be those of the entry.
    const text = `select ${columns} from usage_records ${where} order by usage_records.at desc, usage_records.id desc limit ${query.limit + 1}`
    const scope = within === null ? 'system' : { tenant: within }
    const { rows } = await this.#database.tx(scope, ({ last }) => last(text, values), {
      name: 'read_usage_history',
      readOnly: true,
    })
    const page = rows.slice(0, query.limit)
    const last = page.at(-1)
    const next = rows.length > query.limit && last !== undefined ? this.#makeCursor(last, within) : null
    return { requests: page.map((row) => entryShape.parse(row)), next }
  }

  /** The latest request of this id with its words. `within` as in `read`. Throws `route_not_found`. */
  async readOne(id: string, within: string | null): Promise<HistoryDetail> {
    const scope = within === null ? 'system' : { tenant: within }
    const text = `select ${columns}, t.prompt, t.prompt_cut as "promptCut", t.answer, t.answer_cut as "answerCut"
      from (select * from usage_records where request = $1 and ($2::text is null or tenant = $2) order by at desc, id desc limit 1) as r
      left join lateral (select prompt, prompt_cut, answer, answer_cut from usage_texts
        where tenant = r.tenant and request = r.request and at = r.at limit 1) as t on true`
    const { rows } = await this.#database.tx(scope, ({ last }) => last(text, [id, within]), {
      name: 'read_usage_record',
      readOnly: true,
    })
    const [row] = rows
    if (row === undefined) throw new CorralError('route_not_found', `no record of a request ${id.slice(0, 100)}`)
    return { ...entryShape.parse(row), ...wordsShape.parse(row) }
  }

  #makeCursor(row: Row, within: string | null): string {
    return this.#cursors.make([iso.parse(row['at']), String(row['row_id'])], [within])
  }

  #openCursor(text: string, within: string | null): { at: string; id: string } {
    const place = this.#cursors.open(text, [within])
    if (place === null) throw new CorralError('invalid_request', 'before: not a cursor of this list')
    const [at, id] = cursorShape.parse(place)
    return { at, id }
  }
}

const cursorShape = z.tuple([z.string(), z.string()])

const count = z.coerce.number()
const text = z.string().nullable()
const iso = z.union([z.date(), z.string()]).transform(isoOf)

/** An entry as a row has it, in the order of tables. */
const entryShape = z.object({
  at: iso,
  id: z.string(),
  tenant: z.string(),
  subject: text,
  model: text,
  node: text,
  route: z.string(),
  status: count,
  outcome: z.string(),
  error: text,
  cache: text,
  stream: z.boolean(),
  attempts: count,
  durationMs: count,
  ttftMs: count.nullable(),
  promptTokens: count,
  cachedPromptTokens: count,
  outputTokens: count,
  gpuSeconds: count,
  estimated: z.boolean(),
  reason: text,
  queueMs: count.nullable(),
  retryMs: count.nullable(),
  loadMs: count.nullable(),
  promptMs: count.nullable(),
  outputMs: count.nullable(),
}) satisfies z.ZodType<HistoryEntry>

/** Names of an entry, for tables. */
export const historyColumns: readonly string[] = Object.keys(entryShape.shape)

/** Where an entry's name is not the column's in other letters. */
const columnOf: Readonly<Record<string, string>> = { id: 'request', gpuSeconds: 'gpu_us / 1000000.0' }

/** `row_id` is what a cursor goes by. */
const columns = [
  'id::text as row_id',
  ...historyColumns.map((key) => `${columnOf[key] ?? key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)} as "${key}"`),
].join(', ')

const wordsShape = z.object({
  prompt: text,
  promptCut: z.boolean().nullable().transform(Boolean),
  answer: text,
  answerCut: z.boolean().nullable().transform(Boolean),
})

function isoOf(value: Date | string): string {
  return new Date(value).toISOString()
}
