/**
 * Segments in the database: how they are written, read whole for a merge, and removed. A small segment is one row with all its postings
 * packed; a larger one has a row per term. Callers hold the lock on the collection's row, so two writers never meet here.
 */
import { z } from 'zod'

import type { Transaction } from '../../store/database.ts'
import { type ChunkMap, decodeMap, decodeNumbers, encodeMap, encodePacked, encodePostings, type Postings } from './codec.ts'
import type { Owner } from './memory.ts'
import type { BuiltSegment } from './segment.ts'

/** Up to so many postings a segment is one row; some 250 kB. With fewer, rows of single postings make the tables several times larger. */
export const packedPostingsMax = 64_000
/** Rows of postings in one statement. */
const rowsPerStatement = 2_000

export interface StoredSegment {
  readonly id: string
  readonly isPacked: boolean
  readonly chunks: number
  readonly postings: number
  readonly dead: number
}

const segmentRow = z.object({
  id: z.coerce.string(),
  is_packed: z.boolean(),
  chunks: z.number(),
  postings: z.number(),
  dead: z.number(),
})

/** Live segments by the numbers of their chunks. */
export async function liveSegments(transaction: Transaction, { tenant, collection }: Owner): Promise<StoredSegment[]> {
  const { rows } = await transaction.query(
    `select id, packed is not null as is_packed, chunks, postings, dead from rag_segments
      where tenant = $1 and collection = $2 and state = 'live' order by first_number`,
    [tenant, collection],
  )
  return rows.map((row) => {
    const { is_packed: isPacked, ...rest } = segmentRow.parse(row)
    return { ...rest, isPacked }
  })
}

const contentsRow = z.object({
  id: z.coerce.string(),
  map: z.instanceof(Uint8Array),
  packed: z.instanceof(Uint8Array).nullable(),
  dead_numbers: z.instanceof(Uint8Array).nullable(),
})

export interface SegmentContents {
  readonly id: string
  readonly map: ChunkMap
  readonly packed: Buffer | null
  readonly dead: Int32Array
}

/** Maps, tombstones and packed postings of `ids`, by the numbers of their chunks. */
export async function segmentContents(
  transaction: Transaction,
  { tenant, collection }: Owner,
  ids: readonly string[],
): Promise<SegmentContents[]> {
  const { rows } = await transaction.query(
    `select id, map, packed, dead_numbers from rag_segments where tenant = $1 and collection = $2 and id = any($3::bigint[]) order by first_number`,
    [tenant, collection, ids],
  )
  return rows.map((row) => {
    const { id, map, packed, dead_numbers: dead } = contentsRow.parse(row)
    return {
      id,
      map: decodeMap(Buffer.from(map)),
      packed: packed === null ? null : Buffer.from(packed),
      dead: dead === null ? new Int32Array(0) : decodeNumbers(Buffer.from(dead)),
    }
  })
}

export interface SegmentInsert extends BuiltSegment {
  readonly state: 'live' | 'building'
  readonly inputs: readonly string[] | null
  /** Whether postings come with the row (when they are few), or later. */
  readonly mayPack: boolean
}

const idRow = z.object({ id: z.coerce.string() })

/** Writes a segment with its postings; gives its id. */
export async function insertSegment(transaction: Transaction, owner: Owner, segment: SegmentInsert): Promise<string> {
  const { map, terms, postings, state, inputs } = segment
  const isPacked = segment.mayPack && postings <= packedPostingsMax
  const { rows } = await transaction.query(
    `insert into rag_segments (tenant, collection, state, first_number, last_number, chunks, postings, map, packed, inputs)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::bigint[]) returning id`,
    [
      owner.tenant,
      owner.collection,
      state,
      map.numbers[0] ?? 0,
      map.numbers.at(-1) ?? 0,
      map.numbers.length,
      postings,
      encodeMap(map),
      isPacked ? encodePacked(terms) : null,
      inputs,
    ],
  )
  const { id } = idRow.parse(rows[0])
  if (!isPacked) await insertPostings(transaction, { owner, segment: id, terms })
  return id
}

/** Writes one row per term. */
export async function insertPostings(
  transaction: Transaction,
  { owner, segment, terms }: { owner: Owner; segment: string; terms: ReadonlyMap<string, Postings> },
): Promise<void> {
  const all = [...terms].toSorted(([a], [b]) => (a < b ? -1 : 1))
  for (let from = 0; from < all.length; from += rowsPerStatement) {
    const part = all.slice(from, from + rowsPerStatement)
    await transaction.query(
      `insert into rag_postings (tenant, collection, segment, term, data)
        select $1, $2, $3, term, data from unnest($4::text[], $5::bytea[]) as t(term, data)`,
      [owner.tenant, owner.collection, segment, part.map(([term]) => term), part.map(([, postings]) => encodePostings(postings))],
    )
  }
}

/** Removes segments with all their postings. */
export async function removeSegments(transaction: Transaction, { tenant, collection }: Owner, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  await transaction.query('delete from rag_postings where tenant = $1 and collection = $2 and segment = any($3::bigint[])', [
    tenant,
    collection,
    ids,
  ])
  await transaction.query('delete from rag_segments where tenant = $1 and collection = $2 and id = any($3::bigint[])', [
    tenant,
    collection,
    ids,
  ])
}
