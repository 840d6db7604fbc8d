/**
 * Documents that may pass a filter, found by the index of metadata fields (`rag_document_fields`), so that a filter that lets few through does
 * not look at every document. Each condition that an index knows gives a set that holds all who pass it, and perhaps others; the smallest
 * one is taken. `ne`, `contains` and conditions on fields of the document itself give none.
 */
import type { Collection, FilterCondition } from '../core/corpus.ts'
import type { Transaction } from '../store/database.ts'
import { endsOf, isOwnField, SqlParameters } from './filter.ts'

/** Beyond this share of a collection looking at all of it is as fast. */
const shareMax = 1 / 20
const candidatesMin = 2_000
const candidatesMax = 20_000
/** Characters of a text in the index. */
const indexedCharacters = 250

export interface CandidateQuery {
  readonly tenant: string
  readonly collection: Pick<Collection, 'id' | 'documents'>
  readonly filter: readonly FilterCondition[]
}

/** Ids of all documents that may pass; null when no condition tells few of them apart. */
export async function candidateIds(
  transaction: Pick<Transaction, 'query'>,
  { tenant, collection: { id, documents }, filter }: CandidateQuery,
): Promise<readonly string[] | null> {
  const most = Math.min(Math.max(Math.floor(documents * shareMax), candidatesMin), candidatesMax)
  const found = await Promise.all(
    filter.map(async (condition) => {
      const parameters = new SqlParameters([tenant, id, condition.field])
      const values = valuesSql(condition, parameters)
      if (values === null) return null
      const from = `from rag_document_fields where tenant = $1 and collection = $2 and field = $3`
      const parts = values.map((value) => `select document ${from} and ${value}`).join(' union all ')
      const limit = parameters.add(most + 1)
      const { rows } = await transaction.query(
        `select array_agg(document) as ids from (select document from (${parts}) as parts limit ${limit}::int) as found`,
        parameters.values,
      )
      const ids = readIds(rows[0]?.['ids'])
      return ids.length > most ? null : ids
    }),
  )
  return found.reduce((best, ids) => (best === null || (ids !== null && ids.length < best.length) ? ids : best), null)
}

function readIds(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : []
}

/** What rows of the field are of documents that pass, as one condition or several of which each finds some; null: no index tells. */
function valuesSql(condition: FilterCondition, parameters: SqlParameters): string[] | null {
  if (isOwnField(condition.field)) return null
  switch (condition.op) {
    case 'eq':
      return equalSql([condition.value], parameters)
    case 'in':
      return equalSql(condition.values, parameters)
    case 'range':
      return [rangeSql(condition, parameters)]
    case 'exists':
      return condition.present ? ['true'] : null
    case 'ne':
    case 'contains':
      return null
    default:
      return condition satisfies never
  }
}

function equalSql(values: readonly (string | number | boolean)[], parameters: SqlParameters): string[] {
  const numbers = values.filter((value) => typeof value === 'number')
  const texts = values
    .filter((value) => typeof value !== 'number')
    .map((value) => Array.from(String(value)).slice(0, indexedCharacters).join(''))
  return [`text_value = any(${parameters.add(texts)}::text[])`, `number_value = any(${parameters.add(numbers)}::float8[])`]
}

function rangeSql(condition: Extract<FilterCondition, { readonly op: 'range' }>, parameters: SqlParameters): string {
  const ends = endsOf(condition).map(({ operator, at }) =>
    typeof at === 'number'
      ? `number_value ${operator} ${parameters.add(at)}::float8`
      : `time_value ${operator} ${parameters.add(at.iso)}::timestamptz`,
  )
  return ends.join(' and ')
}
