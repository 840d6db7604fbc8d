/**
 * The vector leg: the chunks of one collection whose vectors lie nearest to the query's, by inner product of unit vectors (their cosine).
 * How they are looked up is planned per search (`plan.ts`); settings of an index scan hold for the transaction only, so this works through
 * PgBouncer. Results are ordered here, since pgvector's iterative scan gives them in a relaxed order.
 */
import { z } from 'zod'

import type { Clock } from '../base/clock.ts'
import type { VectorIndexSettings } from '../core/corpus.ts'
import type { Row, Transaction } from '../store/database.ts'
import type { MeasuredCost } from './measured-cost.ts'
import { exactKey, firstIndexMs, firstRowMs, indexKey, planVectors, type StoreKind } from './plan.ts'
import { columnType, type VectorSet, vectorText } from './vector/tables.ts'

export interface VectorQuery {
  readonly set: VectorSet
  readonly vector: Float32Array
  readonly limit: number
  /** Numbers of chunks that may be found; null: all. */
  readonly allowed: ReadonlySet<number> | null
  /** What the collection is set to; null: by default. */
  readonly wanted: VectorIndexSettings | null
}

export interface VectorHit {
  readonly number: number
  /** Cosine, −1 to 1. */
  readonly score: number
}

export interface VectorAnswer {
  /** Best first, of equal scores the lower number. */
  readonly hits: readonly VectorHit[]
  readonly why: string
}

export interface VectorDeps {
  readonly store: StoreKind
  readonly costs: MeasuredCost
  readonly clock: Clock
}

/** Rows an iterative scan looks at before it gives up. */
const scanTuplesMax = 40_000

/** The nearest chunks of a set, by the last statement of the transaction. */
export async function searchVectors(
  transaction: Transaction,
  query: VectorQuery,
  { store, costs, clock }: VectorDeps,
): Promise<VectorAnswer> {
  const { set, allowed, wanted } = query
  if (allowed?.size === 0 || set.vectors === 0) return { hits: [], why: 'no vector to compare with' }
  const plan = planVectors({ set, store, allowed: allowed?.size ?? null, wanted }, costs)
  const startedMs = clock.nowMs()
  const hits = plan.kind === 'exact' ? await scanAll(transaction, query) : await scanIndex(transaction, query, plan.index)
  const tookMs = clock.nowMs() - startedMs
  if (plan.kind === 'index') costs.add(indexKey(set, plan.index), { tookMs, units: 1, fallback: firstIndexMs })
  else costs.add(exactKey(set), { tookMs, units: Math.min(allowed?.size ?? set.vectors, set.vectors), fallback: firstRowMs(store, set) })
  return { hits, why: plan.why }
}

const hitRow = z.object({ number: z.number(), score: z.number() })

function decodeHits(rows: readonly Row[], limit: number): VectorHit[] {
  return rows
    .map((row) => hitRow.parse(row))
    .toSorted((a, b) => b.score - a.score || a.number - b.number)
    .slice(0, limit)
}

/** Compares with every vector, or every one that is allowed. Adding 0 to the distance keeps an index out. */
export async function scanAll(
  { last }: Pick<Transaction, 'last'>,
  { set, vector, limit, allowed }: Omit<VectorQuery, 'wanted'>,
): Promise<VectorHit[]> {
  const distance = `embedding <#> $3::${columnType(set)}`
  const { rows } = await last(
    `select number, -(${distance}) as score from ${set.name} where tenant = $1 and collection = $2${allowed === null ? '' : ' and number = any($5::int[])'}
      order by (${distance}) + 0, number limit $4`,
    [set.tenant, set.collection, vectorText(vector), limit, ...(allowed === null ? [] : [[...allowed]])],
  )
  return decodeHits(rows, limit)
}

/** Those of `numbers` that have no vector in the set. */
export async function numbersWithoutVector(
  { last }: Pick<Transaction, 'last'>,
  { tenant, collection, name }: VectorSet,
  numbers: readonly number[],
): Promise<ReadonlySet<number>> {
  const { rows } = await last(
    `select given.number from unnest($3::int[]) as given (number)
      where not exists (select 1 from ${name} v where v.tenant = $1 and v.collection = $2 and v.number = given.number)`,
    [tenant, collection, numbers],
  )
  return new Set(rows.map((row) => numberRow.parse(row).number))
}

const numberRow = z.object({ number: z.number() })

/** Looks up in the set's index. */
export async function scanIndex(
  { query, last }: Transaction,
  { set, vector, limit, allowed }: Omit<VectorQuery, 'wanted'>,
  index: VectorIndexSettings,
): Promise<VectorHit[]> {
  const settings = indexScanSettings(index).map(([name, value]) => `set_config('${name}', '${value}', true)`)
  const distance = `embedding <#> $3::${columnType(set)}`
  const [, { rows }] = await Promise.all([
    query(`select ${settings.join(', ')}`),
    last(
      `select number, -(${distance}) as score from ${set.name} where tenant = $1 and collection = $2${allowed === null ? '' : ' and number = any($5::int[])'}
      order by ${distance} limit $4`,
      [set.tenant, set.collection, vectorText(vector), limit, ...(allowed === null ? [] : [[...allowed]])],
    ),
  ])
  return decodeHits(rows, limit)
}

/** Of the transaction. Sorting is made dear, so that the planner takes the one index that gives rows in order. */
function indexScanSettings(index: VectorIndexSettings): readonly (readonly [string, string])[] {
  const planner = [
    ['enable_seqscan', 'off'],
    ['enable_bitmapscan', 'off'],
    ['enable_sort', 'off'],
    ['max_parallel_workers_per_gather', '0'],
  ] as const
  switch (index.kind) {
    case 'exact':
      return planner
    case 'hnsw':
      return [
        ...planner,
        ['hnsw.ef_search', String(index.efSearch)],
        ['hnsw.iterative_scan', 'relaxed_order'],
        ['hnsw.max_scan_tuples', String(scanTuplesMax)],
      ]
    case 'ivfflat':
      return [...planner, ['ivfflat.probes', String(index.probes)], ['ivfflat.iterative_scan', 'relaxed_order']]
    default:
      return index satisfies never
  }
}
