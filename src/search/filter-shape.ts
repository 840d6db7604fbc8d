/** What clients send as a filter and as facets, with the limits of what runs them (`filter.ts`, `facets.ts`). */
import { z } from 'zod'

import type { FilterCondition } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import { facetsMax } from './facets.ts'
import { fieldCharactersMax, filterConditionsMax, filterSql, filterValuesMax, SqlParameters, valueCharactersMax } from './filter.ts'

/** Dates are shorter. */
const boundCharactersMax = 64

interface Limits {
  readonly fieldCharactersMax: number
  readonly valueCharactersMax: number
  readonly boundCharactersMax: number
  readonly valuesMin: number
  readonly valuesMax: number
}

function conditionShape(limits: Limits) {
  const field = z.string().min(1).max(limits.fieldCharactersMax)
  const value = z.union([z.string().max(limits.valueCharactersMax), z.number(), z.boolean()])
  const bound = z.union([z.number(), z.string().max(limits.boundCharactersMax)])
  return z.union([
    z.strictObject({ field, op: z.enum(['eq', 'ne']), value }),
    z.strictObject({ field, op: z.literal('in'), values: z.array(value).min(limits.valuesMin).max(limits.valuesMax) }),
    z
      .strictObject({ field, op: z.literal('range'), from: bound.optional(), to: bound.optional() })
      .transform(({ from, to, ...rest }) => ({ ...rest, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) })),
    z.strictObject({ field, op: z.literal('exists'), present: z.boolean() }),
    z.strictObject({ field, op: z.literal('contains'), value }),
  ])
}

const limits: Limits = { fieldCharactersMax, valueCharactersMax, boundCharactersMax, valuesMin: 1, valuesMax: filterValuesMax }
const unlimited = Number.MAX_SAFE_INTEGER

/** A filter that can be run: made into SQL and refused with the same words as then. */
export const filterShape = z.array(conditionShape(limits)).max(filterConditionsMax).superRefine(checkFilter).default([])

/** A filter that was stored, perhaps by a version that took what cannot be run. */
export const storedFilterShape = z
  .array(
    conditionShape({
      fieldCharactersMax: unlimited,
      valueCharactersMax: unlimited,
      boundCharactersMax: unlimited,
      valuesMin: 0,
      valuesMax: unlimited,
    }),
  )
  .default([])

export const facetsShape = z.array(z.string().min(1).max(fieldCharactersMax)).max(facetsMax).default([])

function checkFilter(filter: readonly FilterCondition[], context: z.RefinementCtx): void {
  try {
    filterSql(filter, new SqlParameters([]))
  } catch (error) {
    if (!(error instanceof CorralError)) throw error
    context.addIssue({ code: 'custom', message: error.message })
  }
}
