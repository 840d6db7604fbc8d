/**
 * Filters as SQL: one condition on `rag_documents d` per `FilterCondition`. Fields and values are parameters, operators come from a fixed
 * list, so nothing of a caller's is ever part of a statement. A field that no document has is no error: nothing matches it, and everything
 * is unequal to its values. Whether a document passes is told by these conditions alone; which documents are looked at may be found by an index
 * before (`filter-candidates.ts`). What passes is remembered (`filter-allowed.ts`).
 */
import type { FilterCondition } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'

export const filterConditionsMax = 20
export const filterValuesMax = 100
/** Of a field of metadata, and of what a filter or facet may name. */
export const fieldCharactersMax = 128
export const valueCharactersMax = 1_000

/** Texts of the document itself, with their SQL. */
export const ownText: ReadonlyMap<string, string> = new Map([
  ['id', 'd.id'],
  ['title', 'd.title'],
  ['uri', 'd.uri'],
  ['contentType', 'd.content_type'],
])
const ownTime: ReadonlyMap<string, string> = new Map([
  ['createdAt', 'd.created_at'],
  ['updatedAt', 'd.updated_at'],
])

/** Whether a field is one of the document itself, rather than of its metadata. */
export function isOwnField(field: string): boolean {
  return ownText.has(field) || ownTime.has(field)
}

type Scalar = string | number | boolean

/** Collects the parameters of a statement; `$1` to `$n` stand there already. */
export class SqlParameters {
  readonly values: unknown[]

  constructor(values: readonly unknown[]) {
    this.values = [...values]
  }

  add(value: unknown): string {
    this.values.push(value)
    return `$${this.values.length}`
  }
}

/** The conditions, joined by AND; `true` for none. Throws `invalid_request` saying which condition and why. */
export function filterSql(filter: readonly FilterCondition[], parameters: SqlParameters): string {
  if (filter.length > filterConditionsMax)
    throw invalid(`a filter has at most ${filterConditionsMax} conditions, this one ${filter.length}`)
  return filter.length === 0 ? 'true' : filter.map((condition) => `(${conditionSql(condition, parameters)})`).join(' and ')
}

function conditionSql(condition: FilterCondition, parameters: SqlParameters): string {
  const { field } = condition
  if (field === '' || field.length > fieldCharactersMax || field.includes('\0'))
    throw invalid(`a field has 1 to ${fieldCharactersMax} characters`)
  for (const value of valuesOf(condition)) checkValue(field, value)
  const text = ownText.get(field)
  if (text !== undefined) return textSql(condition, text, parameters)
  const time = ownTime.get(field)
  return time === undefined ? metadataSql(condition, parameters) : timeSql(condition, time, parameters)
}

function valuesOf(condition: FilterCondition): readonly Scalar[] {
  switch (condition.op) {
    case 'eq':
    case 'ne':
    case 'contains':
      return [condition.value]
    case 'in':
      if (condition.values.length > filterValuesMax)
        throw invalid(`${condition.field}: at most ${filterValuesMax} values, not ${condition.values.length}`)
      return condition.values
    case 'range':
      if (condition.from === undefined && condition.to === undefined) throw invalid(`${condition.field}: a range needs from, to or both`)
      return [condition.from, condition.to].filter((end) => end !== undefined)
    case 'exists':
      return []
    default:
      return condition satisfies never
  }
}

function checkValue(field: string, value: Scalar): void {
  if (typeof value === 'number' && !Number.isFinite(value)) throw invalid(`${field}: ${value} is no number to compare with`)
  if (typeof value !== 'string') return
  if (value.length > valueCharactersMax) throw invalid(`${field}: a value has at most ${valueCharactersMax} characters`)
  if (value.includes('\0') || !value.isWellFormed()) throw invalid(`${field}: the value is not a text that can be stored`)
}

function textSql(condition: FilterCondition, column: string, parameters: SqlParameters): string {
  switch (condition.op) {
    case 'eq':
      return `${column} = ${parameters.add(String(condition.value))}`
    case 'ne':
      return `${column} is distinct from ${parameters.add(String(condition.value))}`
    case 'in':
      return `${column} = any(${parameters.add(condition.values.map(String))}::text[])`
    case 'contains':
      return `${column} ilike ${parameters.add(likePattern(String(condition.value)))}`
    case 'exists':
      return `${column} is ${condition.present ? 'not ' : ''}null`
    case 'range':
      throw invalid(`${condition.field} is a text and has no range: take eq, ne, in, contains or exists`)
    default:
      return condition satisfies never
  }
}

function timeSql(condition: FilterCondition, column: string, parameters: SqlParameters): string {
  switch (condition.op) {
    case 'range':
      return endsOf(condition)
        .map(({ operator, at }) => {
          if (typeof at === 'number') throw invalid(`${condition.field} is a date: give an ISO 8601 text, not ${at}`)
          return `${column} ${operator} ${parameters.add(at.iso)}::timestamptz`
        })
        .join(' and ')
    case 'exists':
      return condition.present ? 'true' : 'false'
    case 'eq':
    case 'ne':
    case 'in':
    case 'contains':
      throw invalid(`${condition.field} is a date: take range or exists`)
    default:
      return condition satisfies never
  }
}

function metadataSql(condition: FilterCondition, parameters: SqlParameters): string {
  const { field } = condition
  const holds = (value: unknown): string => `d.metadata @> ${parameters.add(JSON.stringify({ [field]: value }))}::jsonb`
  switch (condition.op) {
    case 'eq':
      return holds(condition.value)
    case 'ne':
      return `not (${holds(condition.value)})`
    case 'in':
      // Looked up in a hash table from 9 values on.
      return `d.metadata -> ${parameters.add(field)} = any(${parameters.add(condition.values.map((value) => JSON.stringify(value)))}::jsonb[])`
    case 'contains': {
      const inList = holds([condition.value])
      if (typeof condition.value !== 'string') return inList
      const key = parameters.add(field)
      const pattern = parameters.add(likePattern(condition.value))
      return `${inList} or (jsonb_typeof(d.metadata -> ${key}) = 'string' and d.metadata ->> ${key} ilike ${pattern})`
    }
    case 'exists':
      return `coalesce(jsonb_typeof(d.metadata -> ${parameters.add(field)}), 'null') ${condition.present ? '<>' : '='} 'null'`
    case 'range':
      return endsOf(condition)
        .map(({ operator, at }) =>
          typeof at === 'number' ? numberSql(field, operator, { at, parameters }) : dateSql(field, operator, { iso: at.iso, parameters }),
        )
        .join(' and ')
    default:
      return condition satisfies never
  }
}

function numberSql(
  field: string,
  operator: RangeEnd['operator'],
  { at, parameters }: { readonly at: number; readonly parameters: SqlParameters },
): string {
  const key = parameters.add(field)
  return `case when jsonb_typeof(d.metadata -> ${key}) = 'number' then (d.metadata ->> ${key})::numeric ${operator} ${parameters.add(String(at))}::numeric else false end`
}

/**
 * Texts that are no date do not match. Those without a zone are UTC. What lies more than a day off is told by its first ten characters, as a
 * zone shifts by less: reading a date costs some 10 µs.
 */
function dateSql(
  field: string,
  operator: RangeEnd['operator'],
  { iso, parameters }: { readonly iso: string; readonly parameters: SqlParameters },
): string {
  const value = `(d.metadata ->> ${parameters.add(field)})`
  const zoned = `(case when ${value} ~ '([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$' and ${value} ~ '[Tt ]' then ${value} else ${value} || ' UTC' end)`
  const isLower = operator === '>='
  const near = parameters.add(dayOf(Date.parse(iso) + (isLower ? -dayMs : dayMs)))
  return `left(${value}, 10) collate "C" ${isLower ? '>=' : '<='} ${near} and
    case when ${value} ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' and pg_input_is_valid(${zoned}, 'timestamptz')
    then ${zoned}::timestamptz ${operator} ${parameters.add(iso)}::timestamptz else false end`
}

/** As texts of four-digit years compare. */
function dayOf(ms: number): string {
  const day = new Date(ms).toISOString().slice(0, 10)
  return day.startsWith('+') ? '9999-12-31' : day
}

export interface RangeEnd {
  readonly operator: '>=' | '<=' | '<'
  readonly at: number | { readonly iso: string }
}

/** Both ends count. A `to` without a time of day means the whole of that day. */
export function endsOf({ field, from, to }: Extract<FilterCondition, { readonly op: 'range' }>): readonly RangeEnd[] {
  if (from !== undefined && to !== undefined && typeof from !== typeof to)
    throw invalid(`${field}: both ends of a range are numbers, or both dates`)
  const ends: RangeEnd[] = []
  if (from !== undefined) ends.push({ operator: '>=', at: typeof from === 'number' ? from : { iso: isoOf(dateMs(field, from)) } })
  if (typeof to === 'number') ends.push({ operator: '<=', at: to })
  if (typeof to === 'string') {
    const isDay = dayPattern.test(to)
    const untilMs = dateMs(field, to) + (isDay ? dayMs : 0)
    ends.push({ operator: isDay ? '<' : '<=', at: { iso: isoOf(untilMs) } })
  }
  return ends
}

/** Years have four digits here; what a zone or a whole day puts beyond is the last moment of them. */
function isoOf(ms: number): string {
  return new Date(Math.min(ms, lastMs)).toISOString()
}

const lastMs = Date.parse('9999-12-31T23:59:59.999Z')
const dayMs = 86_400_000
const dayPattern = /^\d{4}-\d{2}-\d{2}$/
const datePattern = /^\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:[Zz]|[+-]\d{2}:?\d{2})?)?$/

function dateMs(field: string, text: string): number {
  const hasZone = dayPattern.test(text) || /(?:[Zz]|[+-]\d{2}:?\d{2})$/.test(text)
  const ms = datePattern.test(text) ? Date.parse(hasZone ? text : `${text}Z`) : Number.NaN
  if (Number.isNaN(ms))
    throw invalid(`${field}: ${JSON.stringify(text.slice(0, 40))} is no ISO 8601 date like 2026-01-31 or 2026-01-31T10:00:00Z`)
  return ms
}

/** What contains `text`, taken literally. */
function likePattern(text: string): string {
  return `%${text.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`
}

function invalid(message: string): CorralError {
  return new CorralError('invalid_request', `filter: ${message}`)
}
