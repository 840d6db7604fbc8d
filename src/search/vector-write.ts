/**
 * Writing and removing vectors, in the transaction of the document they belong to. A chunk that keeps its number keeps its vector. Counts per
 * set are exact after every commit: the planner goes by them. Chunks without a vector (the embedder was down) are found by words alone.
 */
import { z } from 'zod'

import type { Transaction } from '../store/database.ts'
import {
  columnType,
  ensureTable,
  setColumns,
  decodeSet,
  tableName,
  type VectorSet,
  type VectorSpace,
  vectorSets,
  vectorText,
} from './vector/tables.ts'
import type { NumberedChunk, VectorsWrite } from './write-document.ts'

/** Rows in one statement: 200 vectors of 1,024 numbers are some 2.4 MB of text. */
const rowsPerStatement = 200

export interface VectorsWritten {
  readonly added: number
  readonly removed: number
  /** False: pgvector is not installed in this database, so nothing was kept. */
  readonly isKept: boolean
}

interface Place {
  readonly tenant: string
  readonly collection: string
}

type WithVector = NumberedChunk & { readonly vector: Float32Array }

/** The `WriteVectors` of `write-document.ts`. Throws `invalid_request` for more dimensions than can be stored. */
export async function writeVectors(transaction: Transaction, write: VectorsWrite): Promise<VectorsWritten> {
  const place = { tenant: write.tenant, collection: write.collection }
  const sets = await vectorSets(transaction, { tenant: place.tenant, collections: [place.collection] })
  await carryOver(transaction, sets, write.chunks)
  const removed = await removeNumbers(transaction, sets, write.removed)
  const chunks = write.chunks.flatMap(({ chunk, ...rest }): WithVector[] =>
    chunk.vector === null ? [] : [{ ...rest, chunk, vector: chunk.vector }],
  )
  const [first] = chunks
  if (first === undefined || write.embedding === null) return { added: 0, removed, isKept: true }
  const space = { digest: write.embedding.digest, dimensions: first.vector.length }
  if (chunks.some(({ vector }) => vector.length !== space.dimensions)) throw new Error('vectors of one document have different dimensions')
  const set = sets.find((other) => isOf(other, space)) ?? (await makeSet(transaction, place, space))
  if (set === null) return { added: 0, removed, isKept: false }
  // What an earlier embedder made of kept chunks is of no use any more.
  const others = sets.filter(({ name, isLive }) => isLive && name !== set.name)
  const kept = chunks.filter(({ before }) => before !== null).map(({ number }) => number)
  const replaced = await removeNumbers(transaction, others, kept)
  await dropEmpty(transaction, others)
  const missing = await withoutThose(transaction, set, { chunks, kept })
  await insertVectors(transaction, set, missing)
  await countChange(transaction, set, missing.length)
  return { added: missing.length, removed: removed + replaced, isKept: true }
}

/** A chunk that got a new number, because its language is another or because it stands there once more, has the vector of the one before. */
async function carryOver(transaction: Transaction, sets: readonly VectorSet[], chunks: readonly NumberedChunk[]): Promise<void> {
  const moved = chunks.filter(({ isKept, before }) => !isKept && before !== null)
  if (moved.length === 0) return
  const [from, to] = [moved.map(({ before }) => before), moved.map(({ number }) => number)]
  for (const set of sets.filter(({ isLive }) => isLive)) {
    const { rowCount } = await transaction.query(
      `insert into ${set.name} (tenant, collection, number, embedding)
        select $1, $2, moved.new, old.embedding from unnest($3::int[], $4::int[]) as moved (old, new)
        join ${set.name} old on old.tenant = $1 and old.collection = $2 and old.number = moved.old on conflict do nothing`,
      [set.tenant, set.collection, from, to],
    )
    await countChange(transaction, set, rowCount)
  }
}

function isOf(set: VectorSet, { digest, dimensions }: Pick<VectorSpace, 'digest' | 'dimensions'>): boolean {
  return set.isLive && set.digest === digest && set.dimensions === dimensions
}

/** Sets that an earlier embedder leaves without a vector; a table of one collection's own then goes with the next upkeep. */
async function dropEmpty(transaction: Transaction, sets: readonly VectorSet[]): Promise<void> {
  const [first] = sets
  if (first === undefined) return
  const names = sets.map(({ name }) => name)
  const text = 'delete from rag_vector_sets where tenant = $1 and collection = $2 and name = any($3::text[]) and vectors = 0'
  await transaction.query(text, [first.tenant, first.collection, names])
}

const storageRow = z.object({ storage: z.enum(['full', 'half']).catch('full') })

async function makeSet(
  transaction: Transaction,
  { tenant, collection }: Place,
  space: Omit<VectorSpace, 'storage'>,
): Promise<VectorSet | null> {
  const found = await transaction.query(
    `select settings ->> 'vectorStorage' as storage from rag_collections where tenant = $1 and id = $2`,
    [tenant, collection],
  )
  const { storage } = storageRow.parse(found.rows[0] ?? {})
  const whole = { ...space, storage }
  if (!(await ensureTable(transaction, whole))) return null
  const { rows } = await transaction.query(
    `insert into rag_vector_sets (tenant, collection, name, digest, dimensions, storage) values ($1, $2, $3, $4, $5, $6)
      on conflict (tenant, collection, name) do update set state = 'live', changed_at = now() returning ${setColumns}`,
    [tenant, collection, tableName(whole), space.digest, space.dimensions, storage],
  )
  return rows[0] === undefined ? null : decodeSet(rows[0])
}

async function withoutThose(
  transaction: Transaction,
  { tenant, collection, name }: VectorSet,
  { chunks, kept }: { readonly chunks: readonly WithVector[]; readonly kept: readonly number[] },
): Promise<readonly WithVector[]> {
  if (kept.length === 0) return chunks
  const { rows } = await transaction.query(`select number from ${name} where tenant = $1 and collection = $2 and number = any($3::int[])`, [
    tenant,
    collection,
    kept,
  ])
  const there = new Set(rows.map(({ number }) => number))
  return chunks.filter(({ number }) => !there.has(number))
}

/** Adds rows to a set's table; numbers that are there already are left. */
export async function insertVectors(
  transaction: Transaction,
  { tenant, collection, name, dimensions, storage }: VectorSet,
  rows: readonly { readonly number: number; readonly vector: Float32Array }[],
): Promise<void> {
  for (let from = 0; from < rows.length; from += rowsPerStatement) {
    const part = rows.slice(from, from + rowsPerStatement)
    await transaction.query(
      `insert into ${name} (tenant, collection, number, embedding)
        select $1, $2, row.number, row.embedding::${columnType({ dimensions, storage })}
        from unnest($3::int[], $4::text[]) as row(number, embedding) on conflict do nothing`,
      [tenant, collection, part.map(({ number }) => number), part.map(({ vector }) => vectorText(vector))],
    )
  }
}

async function countChange(transaction: Transaction, { tenant, collection, name }: VectorSet, change: number): Promise<void> {
  if (change === 0) return
  await transaction.query('update rag_vector_sets set vectors = vectors + $4 where tenant = $1 and collection = $2 and name = $3', [
    tenant,
    collection,
    name,
    change,
  ])
}

async function removeNumbers(transaction: Transaction, sets: readonly VectorSet[], numbers: readonly number[]): Promise<number> {
  if (numbers.length === 0) return 0
  let removed = 0
  for (const set of sets) {
    const { rowCount } = await transaction.query(
      `delete from ${set.name} where tenant = $1 and collection = $2 and number = any($3::int[])`,
      [set.tenant, set.collection, numbers],
    )
    await countChange(transaction, set, -rowCount)
    removed += rowCount
  }
  return removed
}

/** The `DeleteVectors` of `delete-document.ts`. */
export async function deleteVectors(
  transaction: Transaction,
  { numbers, ...place }: Place & { readonly numbers: readonly number[] },
): Promise<number> {
  const sets = await vectorSets(transaction, { tenant: place.tenant, collections: [place.collection] })
  return removeNumbers(transaction, sets, numbers)
}

/** The `PurgeVectors` of `collections.ts`: no vector of the collection stays. An empty table of its own goes with the next upkeep. */
export async function purgeVectors(transaction: Transaction, { tenant, collection }: Place): Promise<void> {
  for (const { name } of await vectorSets(transaction, { tenant, collections: [collection] })) {
    await transaction.query(`delete from ${name} where tenant = $1 and collection = $2`, [tenant, collection])
  }
  await transaction.query('delete from rag_vector_sets where tenant = $1 and collection = $2', [tenant, collection])
}
