/**
 * Takes chunks out of the keyword index, inside the transaction that removes them. They are gone from every answer and every statistic
 * at once, by a tombstone. Their traces go too: a packed segment is written anew without them, and of rows the rare terms' are
 * (a word that hardly any other chunk has is what would tell of a removed text). In the long lists of frequent terms a removed
 * chunk remains a number without meaning until `compact.ts` rewrites the segment.
 */
import { z } from 'zod'

import type { Transaction } from '../../store/database.ts'
import { decodeMap, decodeNumbers, decodePostings, encodeNumbers, type Postings } from './codec.ts'
import { joinPacked } from './index-write.ts'
import type { Owner } from './memory.ts'
import { countTerms, ordinalOf } from './segment.ts'
import { insertPostings } from './segments-stored.ts'

/** Lists up to so many bytes are rewritten at once; some hundred chunks. */
const rareListMaxBytes = 256
const termsPerStatement = 2_000

export interface RemovedChunk {
  readonly number: number
  /** As it was indexed. */
  readonly text: string
  readonly language: string
}

const touchedRow = z.object({
  id: z.coerce.string(),
  is_packed: z.boolean(),
  chunks: z.number(),
  postings: z.number(),
  dead: z.number(),
  map: z.instanceof(Uint8Array),
  dead_numbers: z.instanceof(Uint8Array).nullable(),
})
type Touched = z.infer<typeof touchedRow>

/** Removes `chunks` from the index of a collection whose row the caller has locked. */
export async function removeFromIndex(transaction: Transaction, owner: Owner, chunks: readonly RemovedChunk[]): Promise<void> {
  if (chunks.length === 0) return
  const numbers = chunks.map(({ number }) => number)
  const { rows } = await transaction.query(
    `select id, packed is not null as is_packed, chunks, postings, dead, map, dead_numbers from rag_segments s
      where tenant = $1 and collection = $2 and state <> 'spent'
        and exists (select from unnest($3::integer[]) n where n between s.first_number and s.last_number)`,
    [owner.tenant, owner.collection, numbers],
  )
  for (const row of rows) await removeFrom(transaction, owner, { segment: touchedRow.parse(row), chunks })
}

async function removeFrom(
  transaction: Transaction,
  owner: Owner,
  { segment, chunks }: { segment: Touched; chunks: readonly RemovedChunk[] },
): Promise<void> {
  const map = decodeMap(Buffer.from(segment.map))
  const own = chunks.filter(({ number }) => ordinalOf(map, number) >= 0)
  if (own.length === 0) return
  const before = segment.dead_numbers === null ? [] : decodeNumbers(Buffer.from(segment.dead_numbers))
  const dead = Int32Array.from(new Set([...before, ...own.map(({ number }) => number)])).toSorted()
  await transaction.query(
    `update rag_segments set dead = $4, dead_numbers = $5, dead_stamp = floor(random() * 9007199254740991)::bigint
      where tenant = $1 and collection = $2 and id = $3`,
    [owner.tenant, owner.collection, segment.id, dead.length, encodeNumbers(dead)],
  )
  if (segment.is_packed) {
    const { id, chunks: count, postings, is_packed: isPacked } = segment
    await joinPacked(transaction, owner, { tail: [{ id, isPacked, chunks: count, postings, dead: dead.length }], mayPack: true })
    return
  }
  const ordinals = new Set(own.map(({ number }) => ordinalOf(map, number)))
  await removeRarePostings(transaction, owner, { segment: segment.id, terms: termsOf(own), ordinals })
}

function termsOf(chunks: readonly RemovedChunk[]): string[] {
  const terms = new Set<string>()
  for (const { text, language } of chunks) for (const term of countTerms(text, language).frequencies.keys()) terms.add(term)
  return [...terms]
}

const postingsRow = z.object({ term: z.string(), data: z.instanceof(Uint8Array) })

async function removeRarePostings(
  transaction: Transaction,
  owner: Owner,
  { segment, terms, ordinals }: { segment: string; terms: readonly string[]; ordinals: ReadonlySet<number> },
): Promise<void> {
  for (let from = 0; from < terms.length; from += termsPerStatement) {
    const { rows } = await transaction.query(
      `select term, data from rag_postings
        where tenant = $1 and collection = $2 and segment = $3 and term = any($4::text[]) and octet_length(data) <= $5`,
      [owner.tenant, owner.collection, segment, terms.slice(from, from + termsPerStatement), rareListMaxBytes],
    )
    const kept = rows
      .map((row) => postingsRow.parse(row))
      .map(({ term, data }) => ({ term, postings: without(decodePostings(Buffer.from(data)), ordinals) }))
    await transaction.query('delete from rag_postings where tenant = $1 and collection = $2 and segment = $3 and term = any($4::text[])', [
      owner.tenant,
      owner.collection,
      segment,
      kept.map(({ term }) => term),
    ])
    const rest = kept.filter(({ postings }) => postings.ordinals.length > 0)
    await insertPostings(transaction, { owner, segment, terms: new Map(rest.map(({ term, postings }) => [term, postings])) })
  }
}

function without({ ordinals, frequencies }: Postings, gone: ReadonlySet<number>): Postings {
  const kept = [...ordinals.keys()].filter((index) => !gone.has(ordinals[index] ?? -1))
  return {
    ordinals: Int32Array.from(kept, (index) => ordinals[index] ?? 0),
    frequencies: Uint16Array.from(kept, (index) => frequencies[index] ?? 1),
  }
}
