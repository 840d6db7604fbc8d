/**
 * Upkeep of keyword indexes: joins segments that have a row per term, so that a query reads few of them, and leaves removed chunks out
 * for good. One call does one bounded step in one transaction under the lock on the collection's row: begins a join, carries it on by
 * some thousand terms, makes it visible, or removes what it replaced. A crash between steps loses nothing: the next call carries on.
 */
import { z } from 'zod'

import type { Database, Transaction } from '../../store/database.ts'
import { type ChunkMap, decodePostings, type Postings } from './codec.ts'
import { type Join, joinMaps, joinPostings } from './join.ts'
import type { Owner } from './memory.ts'
import { ordinalOf } from './segment.ts'
import {
  insertPostings,
  insertSegment,
  liveSegments,
  packedPostingsMax,
  type SegmentContents,
  segmentContents,
  type StoredSegment,
} from './segments-stored.ts'

/** Terms of each input read in one step. */
const termsPerStep = 1_500
/** Rows of replaced segments removed in one step. */
const removedPerStep = 20_000
/** Segments of about the same size before they are joined, and how many at once. */
const runMin = 4
const runMax = 8
/** Larger ones are not made: to rewrite them would take minutes. */
const joinedPostingsMax = 16_000_000
/** A segment with this share of removed chunks is rewritten alone. */
const deadShareMax = 0.2

export interface CompactOptions {
  /** Rewrites every segment with a removed chunk, however few there are: no trace of it is left after. */
  readonly isPurging: boolean
}

/** Does one step for a collection; false: there was nothing to do. */
export async function compactStep(database: Database, owner: Owner, options: CompactOptions = { isPurging: false }): Promise<boolean> {
  return database.tx(
    { tenant: owner.tenant },
    async (transaction) => {
      const locked = await transaction.query('select 1 from rag_collections where tenant = $1 and id = $2 for update', [
        owner.tenant,
        owner.collection,
      ])
      if (locked.rows.length === 0) return false
      const building = await buildingSegment(transaction, owner)
      if (building !== null) {
        await carryOn(transaction, owner, building)
        return true
      }
      if (await removeSpent(transaction, owner)) return true
      const run = chooseRun(await liveSegments(transaction, owner), options)
      if (run.length === 0) return false
      await begin(transaction, owner, run)
      return true
    },
    { name: 'compact_step' },
  )
}

/** Steps until nothing is left to do or `stepsMax` is reached; gives the steps taken. */
export async function compactCollection(
  database: Database,
  owner: Owner,
  { stepsMax, ...options }: CompactOptions & { readonly stepsMax: number },
): Promise<number> {
  for (let step = 0; step < stepsMax; step += 1) if (!(await compactStep(database, owner, options))) return step
  return stepsMax
}

const ownerRow = z.object({ tenant: z.string(), collection: z.string() })

/** Collections of all tenants that upkeep would do something for, at most `limit`. */
export async function collectionsToCompact(database: Database, limit: number): Promise<Owner[]> {
  const { rows } = await database.tx(
    'system',
    ({ query }) =>
      query(
        `select tenant, collection from rag_segments where packed is null group by tenant, collection
        having count(*) filter (where state = 'live') >= $1 or bool_or(state <> 'live') or bool_or(dead >= chunks * $2::float8) limit $3`,
        [runMin, deadShareMax, limit],
      ),
    { name: 'collections_to_compact' },
  )
  return rows.map((row) => ownerRow.parse(row))
}

/** Neighbours of about the same size, the smallest first; none when all is well. */
export function chooseRun(segments: readonly StoredSegment[], { isPurging }: CompactOptions): readonly StoredSegment[] {
  const worn = segments.find(({ dead, chunks, isPacked }) => !isPacked && dead > 0 && (isPurging || dead >= chunks * deadShareMax))
  if (worn !== undefined) return [worn]
  const highest = Math.max(0, ...segments.map(levelOf))
  for (let level = 0; level <= highest; level += 1) {
    const run = runOf(segments, level)
    if (run.length >= runMin) return run
  }
  return []
}

/** Sizes apart by less than four times are on one level. */
function levelOf({ postings }: StoredSegment): number {
  return Math.max(0, Math.floor(Math.log2(postings / packedPostingsMax) / 2))
}

function runOf(segments: readonly StoredSegment[], level: number): readonly StoredSegment[] {
  let run: StoredSegment[] = []
  let postings = 0
  for (const segment of segments) {
    const fits = !segment.isPacked && levelOf(segment) <= level && postings + segment.postings <= joinedPostingsMax
    if (!fits && run.length >= runMin) return run
    if (!fits) [run, postings] = [[], 0]
    else {
      run.push(segment)
      postings += segment.postings
    }
    if (run.length === runMax) return run
  }
  return run
}

async function begin(transaction: Transaction, owner: Owner, run: readonly StoredSegment[]): Promise<void> {
  const ids = run.map(({ id }) => id)
  const { map } = joinMaps(await segmentContents(transaction, owner, ids))
  if (map.numbers.length === 0) return spend(transaction, owner, ids)
  await insertSegment(transaction, owner, { map, terms: new Map(), postings: 0, state: 'building', inputs: ids, mayPack: false })
}

const buildingRow = z.object({ id: z.coerce.string(), inputs: z.array(z.coerce.string()), done_term: z.string().nullable() })
type Building = z.infer<typeof buildingRow>

async function buildingSegment(transaction: Transaction, { tenant, collection }: Owner): Promise<Building | null> {
  const { rows } = await transaction.query(
    `select id, inputs, done_term from rag_segments where tenant = $1 and collection = $2 and state = 'building'`,
    [tenant, collection],
  )
  return rows[0] === undefined ? null : buildingRow.parse(rows[0])
}

async function carryOn(transaction: Transaction, owner: Owner, building: Building): Promise<void> {
  const contents = await segmentContents(transaction, owner, [building.id, ...building.inputs])
  const target = contents.find(({ id }) => id === building.id)
  if (target === undefined) throw new Error(`segment ${building.id} is gone while it is made`)
  const inputs = contents.filter(({ id }) => id !== building.id)
  const read = await readTerms(transaction, owner, { inputs, after: building.done_term })
  const join = movesInto(target.map, inputs)
  const terms = new Map<string, Postings>()
  let postings = 0
  for (const [term, parts] of read.terms) {
    const joined = joinPostings(join, parts)
    if (joined === null) continue
    terms.set(term, joined)
    postings += joined.ordinals.length
  }
  await insertPostings(transaction, { owner, segment: building.id, terms })
  await transaction.query(
    `update rag_segments set done_term = $4, postings = postings + $5, state = $6, inputs = case when $6 = 'live' then null else inputs end
      where tenant = $1 and collection = $2 and id = $3`,
    [owner.tenant, owner.collection, building.id, read.until ?? building.done_term, postings, read.until === null ? 'live' : 'building'],
  )
  if (read.until === null) await spend(transaction, owner, building.inputs)
}

/** By the numbers of the target as it was begun: a chunk removed since is a tombstone there. */
function movesInto(map: ChunkMap, inputs: readonly SegmentContents[]): Join {
  return { map, moves: inputs.map((input) => input.map.numbers.map((number) => ordinalOf(map, number))) }
}

interface ReadTerms {
  readonly terms: ReadonlyMap<string, readonly { input: number; postings: Postings }[]>
  /** The last term that was read of every input; null: nothing is left. */
  readonly until: string | null
}

const termRow = z.object({ term: z.string(), data: z.instanceof(Uint8Array) })

/** The next terms after `after`, as far as every input was read. Compared as bytes, as the database orders them. */
async function readTerms(
  transaction: Transaction,
  { tenant, collection }: Owner,
  { inputs, after }: { inputs: readonly SegmentContents[]; after: string | null },
): Promise<ReadTerms> {
  const read: { term: string; data: Uint8Array }[][] = []
  let until: string | null = null
  for (const { id } of inputs) {
    const { rows } = await transaction.query(
      `select term, data from rag_postings where tenant = $1 and collection = $2 and segment = $3 and term > $4 order by term limit $5`,
      [tenant, collection, id, after ?? '', termsPerStep],
    )
    const list = rows.map((row) => termRow.parse(row))
    read.push(list)
    const last = list.length < termsPerStep ? undefined : list.at(-1)?.term
    if (last !== undefined && (until === null || isBefore(last, until))) until = last
  }
  const terms = new Map<string, { input: number; postings: Postings }[]>()
  for (const [input, list] of read.entries()) {
    for (const { term, data } of list) {
      if (until !== null && isBefore(until, term)) break
      const parts = terms.get(term) ?? []
      parts.push({ input, postings: decodePostings(Buffer.from(data)) })
      terms.set(term, parts)
    }
  }
  return { terms, until }
}

function isBefore(a: string, b: string): boolean {
  return Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0
}

async function spend(transaction: Transaction, { tenant, collection }: Owner, ids: readonly string[]): Promise<void> {
  await transaction.query(`update rag_segments set state = 'spent' where tenant = $1 and collection = $2 and id = any($3::bigint[])`, [
    tenant,
    collection,
    ids,
  ])
}

/** Removes a part of what was replaced; false: there is nothing. */
async function removeSpent(transaction: Transaction, { tenant, collection }: Owner): Promise<boolean> {
  const place = [tenant, collection]
  const { rows } = await transaction.query(
    `select id from rag_segments where tenant = $1 and collection = $2 and state = 'spent' limit 1`,
    place,
  )
  if (rows[0] === undefined) return false
  const { id } = z.object({ id: z.coerce.string() }).parse(rows[0])
  // By a range of terms: a list of them could be planned as a loop over the whole segment for each.
  const { rowCount } = await transaction.query(
    `delete from rag_postings where tenant = $1 and collection = $2 and segment = $3 and term <= coalesce(
      (select term from rag_postings where tenant = $1 and collection = $2 and segment = $3 order by term offset $4 limit 1),
      (select max(term) from rag_postings where tenant = $1 and collection = $2 and segment = $3))`,
    [...place, id, removedPerStep - 1],
  )
  if (rowCount < removedPerStep)
    await transaction.query('delete from rag_segments where tenant = $1 and collection = $2 and id = $3', [...place, id])
  return true
}
