/**
 * Facets: the values of metadata fields, and of the document's own texts, with the number of documents that have them, over all documents of the collections that the filter
 * lets through, whatever the query: a query finds by degrees and has no edge at which to count. A list counts each of its values.
 */
import { z } from 'zod'

import type { FilterCondition } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import type { Transaction } from '../store/database.ts'
import { fieldCharactersMax, filterSql, isOwnField, ownText, SqlParameters } from './filter.ts'

export const facetsMax = 10
/** Values given of one field. */
export const facetValuesMax = 100

export interface FacetQuery {
  readonly tenant: string
  /** Ids. */
  readonly collections: readonly string[]
  readonly filter: readonly FilterCondition[]
  readonly fields: readonly string[]
}

export type Facets = Record<string, { readonly value: string; readonly count: number }[]>

const ownValues = Array.from(ownText, ([field, column]) => `when '${field}' then to_jsonb(${column})`).join(' ')

const facetRow = z.object({ field: z.string(), value: z.string(), count: z.coerce.number() })

/** Most frequent first. Throws `invalid_request` for too many fields and for dates. */
export async function countFacets(transaction: Transaction, { tenant, collections, filter, fields }: FacetQuery): Promise<Facets> {
  if (fields.length === 0) return {}
  checkFields(fields)
  const parameters = new SqlParameters([tenant, collections, fields, facetValuesMax])
  const condition = filterSql(filter, parameters)
  const { rows } = await transaction.query(
    `select field, value, count from (
        select f.field, v.value, count(*) as count, row_number() over (partition by f.field order by count(*) desc, v.value) as place
        from rag_documents d
        cross join unnest($3::text[]) as f(field)
        cross join lateral (select case f.field ${ownValues} else d.metadata -> f.field end as value) as held
        cross join lateral (
          select distinct e #>> '{}' as value from jsonb_array_elements(
            case jsonb_typeof(held.value) when 'array' then held.value else jsonb_build_array(held.value) end) as e
          where jsonb_typeof(e) <> 'null') as v
        where d.tenant = $1 and d.collection = any($2::text[]) and ${condition}
        group by f.field, v.value) as counted
      where place <= $4 order by field, place`,
    parameters.values,
  )
  const facets: Facets = Object.fromEntries(fields.map((field) => [field, []]))
  for (const row of rows) {
    const { field, value, count } = facetRow.parse(row)
    facets[field]?.push({ value, count })
  }
  return facets
}

function checkFields(fields: readonly string[]): void {
  if (fields.length > facetsMax) throw new CorralError('invalid_request', `facets: at most ${facetsMax} fields, not ${fields.length}`)
  if (new Set(fields).size < fields.length) throw new CorralError('invalid_request', 'facets: a field is named twice')
  for (const field of fields) {
    if (field === '' || field.length > fieldCharactersMax || field.includes('\0')) {
      throw new CorralError('invalid_request', `facets: a field has 1 to ${fieldCharactersMax} characters`)
    }
    if (isOwnField(field) && !ownText.has(field))
      throw new CorralError('invalid_request', `facets: ${field} is a date, whose values are not counted: take a range as a filter`)
  }
}
