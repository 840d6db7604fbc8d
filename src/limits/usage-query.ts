/**
 * Sums over the usage records, for `/admin/usage` and `corral usage`. A tenant sees its own rows (row-level security holds it);
 * the operator sees all. Sums are exact: whole tokens and microseconds.
 */
import { z } from 'zod'

import { parseParameters } from '../core/query-parameters.ts'
import type { Database, Row } from '../store/database.ts'
import { canonicalModelName } from '../wire/model-name.ts'

const groups = ['tenant', 'subject', 'model', 'node', 'route', 'cache', 'day'] as const

export type UsageGroup = (typeof groups)[number]

const columns: Readonly<Record<UsageGroup, string>> = {
  tenant: 'tenant',
  subject: 'subject',
  model: 'model',
  node: 'node',
  route: 'route',
  cache: 'cache',
  day: `to_char(at at time zone 'UTC', 'YYYY-MM-DD')`,
}

/** Sums of one answer. */
export const sumsMax = 10_000

/** What an answer comes as. */
export const formatField = z.enum(['json', 'csv']).default('json')

/** A status, `404`, or a class of them, `4xx`: the range it stands for. */
const status = z
  .string()
  .regex(/^[1-5](\d\d|xx)$/, 'expected a status such as 404, or a class such as 4xx')
  .transform((text) => (text.endsWith('xx') ? { from: Number(text[0]) * 100, to: Number(text[0]) * 100 + 99 } : { from: +text, to: +text }))

const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text))

/** Which records are meant. */
export const filterFields = {
  tenant: z.string().min(1).max(64).optional(),
  subject: z.string().min(1).max(256).optional(),
  model: z.string().min(1).max(256).transform(canonicalModelName).optional(),
  status: status.optional(),
  from: time.optional(),
  /** Not included. */
  to: time.optional(),
}

/** Query parameters of `/admin/usage`. */
export const usageQuery = z.strictObject({
  ...filterFields,
  format: formatField,
  /** Comma-separated; none: one sum over all. */
  by: z
    .string()
    .transform((text) => text.split(',').filter((part) => part !== ''))
    .pipe(z.array(z.enum(groups)).max(groups.length))
    .optional(),
})

export type UsageQuery = z.infer<typeof usageQuery>

export interface UsageSum {
  /** Values of the groups asked for. */
  readonly group: Readonly<Partial<Record<UsageGroup, string | null>>>
  readonly requests: number
  /** Requests answered from a cache or together with another. */
  readonly cachedRequests: number
  readonly promptTokens: number
  readonly cachedPromptTokens: number
  readonly outputTokens: number
  readonly gpuSeconds: number
}

/** Names of a sum's values, for tables; its groups come before. */
export const sumColumns = [
  'requests',
  'cachedRequests',
  'promptTokens',
  'cachedPromptTokens',
  'outputTokens',
  'gpuSeconds',
] as const satisfies readonly (keyof UsageSum)[]

/** Reads query parameters. Throws `invalid_request`. */
export function parseUsageQuery(parameters: Readonly<Record<string, string>>): UsageQuery {
  return parseParameters(usageQuery, parameters)
}

export interface UsageSums {
  readonly usage: readonly UsageSum[]
  /** Whether there are more than `sumsMax`, of which those with the least GPU time are not here. */
  readonly truncated: boolean
}

/** The sums, largest GPU time first. `within`: the tenant whose rows may be seen; null: all. Throws what `tx` throws. */
export async function sumUsage(database: Database, query: UsageQuery, within: string | null): Promise<UsageSums> {
  const by = query.by ?? []
  const { values, conditions } = conditionsOf(query, within)
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  const text = `select ${by.map((group) => `${columns[group]} as "by_${group}",`).join(' ')} ${sums} from usage_records ${where}
    ${by.length === 0 ? '' : `group by ${by.map((_, index) => index + 1).join(', ')}`} order by gpu_us desc, requests desc limit ${sumsMax + 1}`
  const scope = within === null ? 'system' : { tenant: within }
  const { rows } = await database.tx(scope, ({ last }) => last(text, values), { name: 'sum_usage', readOnly: true })
  return { usage: rows.slice(0, sumsMax).map((row) => sumOf(row, by)), truncated: rows.length > sumsMax }
}

type Filter = Pick<UsageQuery, 'tenant' | 'subject' | 'model' | 'status' | 'from' | 'to'>

/** The filter in SQL, with the values of its places. `within` as in `sumUsage`. */
export function conditionsOf(filter: Filter, within: string | null): { conditions: string[]; values: unknown[] } {
  const values: unknown[] = []
  const conditions: string[] = []
  const add = (condition: string, value: unknown): void => {
    if (value === undefined || value === null) return
    values.push(value)
    conditions.push(`${condition} $${values.length}`)
  }
  add('tenant =', within)
  add('tenant =', filter.tenant)
  add('subject =', filter.subject)
  add('model =', filter.model)
  add('status >=', filter.status?.from)
  add('status <=', filter.status?.to)
  add('at >=', filter.from)
  add('at <', filter.to)
  return { conditions, values }
}

const sums = `count(*) as requests, count(*) filter (where cache in ('hit', 'joined')) as cached_requests,
  coalesce(sum(prompt_tokens), 0) as prompt_tokens, coalesce(sum(cached_prompt_tokens), 0) as cached_prompt_tokens,
  coalesce(sum(output_tokens), 0) as output_tokens, coalesce(sum(gpu_us), 0) as gpu_us`

function sumOf(row: Row, by: readonly UsageGroup[]): UsageSum {
  const group: Partial<Record<UsageGroup, string | null>> = {}
  for (const name of by) {
    const value = row[`by_${name}`]
    group[name] = typeof value === 'string' ? value : null
  }
  return {
    group,
    requests: Number(row['requests']),
    cachedRequests: Number(row['cached_requests']),
    promptTokens: Number(row['prompt_tokens']),
    cachedPromptTokens: Number(row['cached_prompt_tokens']),
    outputTokens: Number(row['output_tokens']),
    gpuSeconds: Number(row['gpu_us']) / 1_000_000,
  }
}
