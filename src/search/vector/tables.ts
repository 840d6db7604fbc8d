/**
 * Which tables hold the vectors of a collection, and how a vector is written in SQL. A set is one such table as one collection uses it.
 * Vectors of two embedders, or of two digests of one, never share a set. Names of tables are made here alone and hold nothing that came
 * from outside, so they may stand in a statement.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'

import type { VectorIndexSettings } from '../../core/corpus.ts'
import { CorralError } from '../../core/errors.ts'
import type { Row, Transaction } from '../../store/database.ts'

export type VectorStorage = 'full' | 'half'

/** What pgvector can store. */
export const dimensionsMax = { full: 16_000, half: 16_000 } as const

export interface VectorSpace {
  /** The embedder's. */
  readonly digest: string
  readonly dimensions: number
  readonly storage: VectorStorage
}

export interface VectorSet extends VectorSpace {
  readonly tenant: string
  readonly collection: string
  /** The table. */
  readonly name: string
  readonly vectors: number
  /** Null: no index. */
  readonly index: VectorIndexSettings | null
  readonly isLive: boolean
}

const count = z.number().int().min(1)

export const vectorIndexSettings = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('exact') }),
  z.strictObject({
    kind: z.literal('hnsw'),
    m: count.min(2).max(100),
    efConstruction: count.min(4).max(1_000),
    efSearch: count.max(1_000),
  }),
  z.strictObject({ kind: z.literal('ivfflat'), lists: count.max(32_768), probes: count.max(32_768) }),
])

const setRow = z
  .object({
    tenant: z.string(),
    collection: z.string(),
    name: z.string().regex(/^rag_vectors_[0-9a-f_h]+$/),
    digest: z.string(),
    dimensions: z.number(),
    storage: z.enum(['full', 'half']),
    vectors: z.coerce.number(),
    index: vectorIndexSettings.nullable(),
    state: z.string(),
  })
  .transform(({ state, ...rest }): VectorSet => ({ ...rest, isLive: state === 'live' }))

export const setColumns = 'tenant, collection, name, digest, dimensions, storage, vectors, index, state'

export function decodeSet(row: Row): VectorSet {
  return setRow.parse(row)
}

/** The table of a space, shared by small collections, or with `own` (8 hex digits) that of one collection. */
export function tableName({ digest, dimensions, storage }: VectorSpace, own: string | null = null): string {
  const embedder = createHash('sha256').update(digest).digest('hex').slice(0, 16)
  return `rag_vectors_${embedder}_${dimensions}${storage === 'half' ? '_h' : ''}${own === null ? '' : `_${own}`}`
}

/** The type of the column, e.g. `vector(384)`. */
export function columnType({ dimensions, storage }: Pick<VectorSpace, 'dimensions' | 'storage'>): string {
  return `${storage === 'half' ? 'halfvec' : 'vector'}(${dimensions})`
}

/** Nine digits name every 32-bit float. */
const floatDigits = 9

/** A vector as pgvector reads it: arrays of its own type cannot be sent to the embedded store. */
export function vectorText(vector: Float32Array): string {
  const parts: string[] = []
  for (const value of vector) parts.push(value === 0 ? '0' : value.toPrecision(floatDigits))
  return `[${parts.join(',')}]`
}

/** The sets of some collections, live and retired. */
export async function vectorSets(
  transaction: Transaction,
  { tenant, collections }: { readonly tenant: string; readonly collections: readonly string[] },
): Promise<VectorSet[]> {
  return readSets(transaction, 'any($2::text[])', [tenant, collections])
}

/** The same for collections by their names, which those who search know before the ids. */
export async function vectorSetsNamed(
  transaction: Transaction,
  { tenant, names }: { readonly tenant: string; readonly names: readonly string[] },
): Promise<VectorSet[]> {
  return readSets(transaction, 'any(array(select id from rag_collections where tenant = $1 and name = any($2::text[])))', [tenant, names])
}

async function readSets({ query }: Transaction, which: string, values: readonly unknown[]): Promise<VectorSet[]> {
  const text = `select ${setColumns} from rag_vector_sets where tenant = $1 and collection = ${which} order by collection, changed_at`
  return (await query(text, values)).rows.map(decodeSet)
}

/** Makes the table of `space` unless it is there. False without pgvector. Throws `invalid_request` for more dimensions than it can store. */
export async function ensureTable(transaction: Transaction, space: VectorSpace, own: string | null = null): Promise<boolean> {
  if (space.dimensions > dimensionsMax[space.storage]) {
    throw new CorralError(
      'invalid_request',
      `vectors of ${space.dimensions} dimensions: at most ${dimensionsMax[space.storage]} can be stored`,
    )
  }
  const { rows } = await transaction.query('select rag_vector_table($1, $2, $3) as is_there', [
    tableName(space, own),
    space.dimensions,
    space.storage,
  ])
  return rows[0]?.['is_there'] === true
}
