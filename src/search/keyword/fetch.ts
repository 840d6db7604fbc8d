/**
 * Gets all that a query needs of the keyword index in one round trip: the collection's totals, its segments, their tombstones, and the
 * postings of the query's terms. What the process remembers is named in the call and not sent again, so a warm query carries only
 * the heads of segments.
 */
import { z } from 'zod'

import type { Transaction } from '../../store/database.ts'
import { type ChunkMap, decodeMap, decodeNumbers, decodePacked, decodePostings } from './codec.ts'
import type { KeywordMemory, Owner, RememberedDead, RememberedList, RememberedPart } from './memory.ts'
import type { ScoredSegment } from './score.ts'

/** The index of a collection as one transaction sees it, for the terms of one query. */
export interface FetchedIndex {
  readonly chunks: number
  readonly totalLength: number
  readonly version: number
  readonly languages: readonly string[]
  readonly segments: readonly ScoredSegment[]
}

const bytes = z.instanceof(Buffer).or(z.instanceof(Uint8Array).transform((value) => Buffer.from(value)))
const rowShape = z.object({
  kind: z.enum(['collection', 'segment', 'postings']),
  segment: z.coerce.string().nullable(),
  term: z.string().nullable(),
  chunks: z.coerce.number().nullable(),
  total_length: z.coerce.number().nullable(),
  version: z.coerce.number().nullable(),
  stamp: z.coerce.string().nullable(),
  map: bytes.nullable(),
  data: bytes.nullable(),
  dead: bytes.nullable(),
  languages: z.record(z.string(), z.number()).nullable(),
})
type FetchedRow = z.infer<typeof rowShape>

// The limit keeps each look-up one probe of the index, whatever the planner believes of the sizes.
const fetchText = `
with segment as (
  select id, first_number, dead, dead_stamp, map, packed, dead_numbers
  from rag_segments where tenant = $1 and collection = $2 and state = 'live'
), wanted as (
  select s.id, t.term from segment s cross join unnest($3::text[]) as t(term) where s.packed is null
  except select * from unnest($4::bigint[], $5::text[])
)
select 'collection' as kind, null::bigint as segment, null::text as term, chunks, keyword_length as total_length, version, null::bigint as stamp,
  null::bytea as map, null::bytea as data, null::bytea as dead, languages, -1 as place
from rag_collections where tenant = $1 and id = $2
union all
select 'segment', id, null, null, null, null, dead_stamp,
  case when id = any($6::bigint[]) then null else map end,
  case when id = any($6::bigint[]) then null else packed end,
  case when dead = 0 or (id, dead_stamp) in (select * from unnest($7::bigint[], $8::bigint[])) then null else dead_numbers end, null, first_number
from segment
union all
select 'postings', w.id, w.term, null, null, null, null, null, p.data, null, null, 0
from wanted w cross join lateral (
  select data from rag_postings r where r.tenant = $1 and r.collection = $2 and r.segment = w.id and r.term = w.term limit 1
) p
order by place`

/** Null when there is no such collection. */
export async function fetchIndex(
  transaction: Transaction,
  { owner, terms, memory }: { owner: Owner; terms: readonly string[]; memory: KeywordMemory },
): Promise<FetchedIndex | null> {
  const known = knownOf(memory, owner, terms)
  const { rows } = await transaction.query(fetchText, [
    owner.tenant,
    owner.collection,
    terms,
    known.lists.map(({ segment }) => segment),
    known.lists.map(({ term }) => term),
    [...known.parts.keys()],
    [...known.dead.keys()],
    Array.from(known.dead.values(), ({ stamp }) => stamp),
  ])
  return new Reading(
    { owner, terms, memory, known },
    rows.map((row) => rowShape.parse(row)),
  ).index()
}

interface Known {
  readonly lists: readonly { readonly segment: string; readonly term: string; readonly list: RememberedList }[]
  readonly parts: ReadonlyMap<string, RememberedPart>
  readonly dead: ReadonlyMap<string, RememberedDead>
}

/** What need not be sent. Held by the caller until the answer is there, so that nothing of it can be forgotten meanwhile. */
function knownOf(memory: KeywordMemory, owner: Owner, terms: readonly string[]): Known {
  const lists: { segment: string; term: string; list: RememberedList }[] = []
  const parts = new Map<string, RememberedPart>()
  const dead = new Map<string, RememberedDead>()
  for (const segment of memory.seen(owner)?.segments ?? []) {
    const part = memory.part(owner, segment)
    if (part !== null) parts.set(segment, part)
    const numbers = memory.dead(owner, segment)
    if (numbers !== null) dead.set(segment, numbers)
    for (const term of terms) {
      const list = memory.list(owner, segment, term)
      if (list !== null) lists.push({ segment, term, list })
    }
  }
  return { lists, parts, dead }
}

interface ReadingInput {
  readonly owner: Owner
  readonly terms: readonly string[]
  readonly memory: KeywordMemory
  readonly known: Known
}

const none = new Int32Array(0)

/** Puts what came and what was known together. */
class Reading {
  readonly #input: ReadingInput
  readonly #rows: readonly FetchedRow[]
  readonly #lists = new Map<string, RememberedList>()

  constructor(input: ReadingInput, rows: readonly FetchedRow[]) {
    this.#input = input
    this.#rows = rows
    for (const { segment, term, list } of input.known.lists) this.#lists.set(`${segment} ${term}`, list)
  }

  index(): FetchedIndex | null {
    const { owner, memory } = this.#input
    const head = this.#rows.find(({ kind }) => kind === 'collection')
    if (head === undefined) return null
    for (const row of this.#rows) if (row.kind === 'postings') this.#keepPostings(row)
    const rows = this.#rows.filter(({ kind }) => kind === 'segment')
    const segments = rows.map((row) => this.#segment(row))
    const languages = languagesOf(head.languages ?? {})
    memory.see(owner, { segments: rows.map(({ segment }) => segment ?? ''), languages })
    return { chunks: head.chunks ?? 0, totalLength: head.total_length ?? 0, version: head.version ?? 0, languages, segments }
  }

  #keepPostings({ segment, term, data }: FetchedRow): void {
    if (segment === null || term === null || data === null) return
    const { owner, memory } = this.#input
    this.#lists.set(`${segment} ${term}`, memory.keepList(owner, { segment, term, postings: decodePostings(data) }))
  }

  #segment(row: FetchedRow): ScoredSegment {
    const segment = row.segment ?? ''
    const { terms } = this.#input
    const part = this.#part(segment, row)
    const dead = this.#dead(segment, row)
    const lists: ScoredSegment['lists'][number][] = []
    const deadIn: number[] = []
    for (const term of terms) {
      const list = this.#list(segment, term, part)
      lists.push(list.postings)
      deadIn.push(deadPostings(list, { dead, map: part.map }))
    }
    return { map: part.map, dead: dead.numbers, lists, deadIn }
  }

  #part(segment: string, { map, data }: FetchedRow): RememberedPart {
    const { owner, memory, known } = this.#input
    if (map === null) {
      const part = known.parts.get(segment)
      if (part === undefined) throw new Error(`segment ${segment} came without its map`)
      return part
    }
    return memory.keepPart(owner, { segment, map: decodeMap(map), packed: data === null ? null : decodePacked(data) })
  }

  #dead(segment: string, { stamp, dead }: FetchedRow): RememberedDead {
    const { owner, memory, known } = this.#input
    const name = stamp ?? '0'
    const remembered = known.dead.get(segment)
    if (dead === null) return remembered?.stamp === name ? remembered : { kind: 'dead', stamp: name, numbers: none }
    return memory.keepDead(owner, { segment, stamp: name, numbers: decodeNumbers(dead) })
  }

  /** A list that neither came nor was known is not there; that is worth remembering too. */
  #list(segment: string, term: string, { packed }: RememberedPart): RememberedList {
    const { owner, memory } = this.#input
    const list = this.#lists.get(`${segment} ${term}`)
    if (list !== undefined) return list
    const data = packed?.get(term)
    return memory.keepList(owner, { segment, term, postings: data === undefined ? null : decodePostings(data) })
  }
}

/** How many postings of the list are of removed chunks. */
function deadPostings(list: RememberedList, { dead, map }: { dead: RememberedDead; map: ChunkMap }): number {
  const { postings } = list
  if (postings === null || dead.numbers.length === 0) return 0
  if (list.counted?.stamp === dead.stamp) return list.counted.dead
  let count = 0
  let at = 0
  let ordinal = 0
  for (const number of dead.numbers) {
    while ((map.numbers[ordinal] ?? Infinity) < number) ordinal += 1
    while ((postings.ordinals[at] ?? Infinity) < ordinal) at += 1
    if (map.numbers[ordinal] === number && postings.ordinals[at] === ordinal) count += 1
  }
  list.counted = { stamp: dead.stamp, dead: count }
  return count
}

/** Languages of the documents, the most frequent first. */
export function languagesOf(counts: Readonly<Record<string, number>>): string[] {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .toSorted(([nameA, a], [nameB, b]) => b - a || (nameA < nameB ? -1 : 1))
    .map(([language]) => language)
}
