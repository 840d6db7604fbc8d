/** From fused keys to what a caller sees: chunks with their documents, one per document when asked, without near-duplicates, with the text around them. */
import { z } from 'zod'

import type { Metadata, SearchHit, SearchRequest } from '../core/corpus.ts'
import type { Database } from '../store/database.ts'
import { withoutDuplicates } from './collapse.ts'
import type { FusedHit } from './fuse.ts'
import { highlightsOf } from './highlight.ts'
import { readKey, type SearchedCollection } from './search-legs.ts'
import { type Around, passageCharacters, unwidened, widenHits } from './widen.ts'

/** Candidates read at once, for one result: duplicates and further chunks of a document fall out. */
const readPerResult = 2
/** Rounds of reading candidates. */
const roundsMax = 4

export interface Found {
  readonly fused: FusedHit
  readonly collection: SearchedCollection
  readonly place: number
  readonly hash: string
  readonly text: string
  readonly ordinal: number
  readonly language: string
  readonly hit: Omit<SearchHit, 'score' | 'scores' | 'highlights' | keyof Around>
}

const scalar = z.union([z.string(), z.number(), z.boolean()])
const metadata: z.ZodType<Metadata> = z.record(z.string(), z.union([scalar, z.null(), z.array(scalar)]))

const foundRow = z.object({
  number: z.number(),
  document: z.string(),
  ordinal: z.number(),
  start_at: z.number(),
  end_at: z.number(),
  page: z.number().nullable(),
  headings: z.array(z.string()),
  kind: z.enum(['text', 'table', 'code', 'row']),
  text: z.string(),
  hash: z.string(),
  title: z.string(),
  uri: z.string().nullable(),
  metadata,
  language: z.string(),
})

export interface ReadOptions {
  readonly request: SearchRequest
  readonly collections: readonly SearchedCollection[]
  /** Results wanted. */
  readonly wanted: number
}

/** The best `wanted` of `fused` that stand for something of their own. Chunks that were removed meanwhile are left out. */
export async function readFound(
  database: Database,
  fused: readonly FusedHit[],
  { request, collections, wanted }: ReadOptions,
): Promise<Found[]> {
  let found: Found[] = []
  const read: Found[] = []
  const step = Math.max(wanted * readPerResult, 20)
  for (let round = 0; round < roundsMax && found.length < wanted; round += 1) {
    const part = fused.slice(round * step, (round + 1) * step)
    if (part.length === 0) break
    read.push(...(await readPart(database, part, { tenant: request.tenant, collections })))
    found = withoutDuplicates(request.perDocument ? onePerDocument(read) : read, wanted)
  }
  return found
}

const chunksSql = `select c.number, c.document, c.ordinal, c.start_at, c.end_at, c.page, c.headings, c.kind, c.text, c.hash, d.title, d.uri, d.metadata, d.language
  from rag_chunks c join rag_documents d on d.tenant = c.tenant and d.collection = c.collection and d.id = c.document
  where c.tenant = $1 and c.collection = $2 and c.number = any($3::int[])`

async function readPart(
  database: Database,
  part: readonly FusedHit[],
  { tenant, collections }: { readonly tenant: string; readonly collections: readonly SearchedCollection[] },
): Promise<Found[]> {
  const byKey = new Map<string, Found>()
  for (const [place, collection] of collections.entries()) {
    const own = part.map((fused) => ({ fused, ...readKey(fused.key) })).filter((item) => item.place === place)
    if (own.length === 0) continue
    const { rows } = await database.tx(
      { tenant },
      ({ last }) => last(chunksSql, [tenant, collection.id, own.map(({ number }) => number)]),
      {
        name: 'read_hits',
        readOnly: true,
      },
    )
    const numbers = new Map(own.map(({ number, fused }) => [number, fused]))
    for (const row of rows) {
      const decoded = foundRow.parse(row)
      const fused = numbers.get(decoded.number)
      if (fused !== undefined) byKey.set(fused.key, foundOf(decoded, { fused, collection, place }))
    }
  }
  return part.flatMap(({ key }) => byKey.get(key) ?? [])
}

function foundOf(row: z.infer<typeof foundRow>, where: Pick<Found, 'fused' | 'collection' | 'place'>): Found {
  const { document, ordinal, text, hash, language, title, uri, start_at: start, end_at: end, page, headings, kind } = row
  return {
    ...where,
    hash,
    text,
    ordinal,
    language,
    hit: {
      collection: where.collection.name,
      document: { id: document, title, uri, metadata: row.metadata },
      chunk: { id: `${document}#${ordinal}`, text, start, end, page, headings, kind },
    },
  }
}

function onePerDocument(found: readonly Found[]): Found[] {
  const seen = new Set<string>()
  return found.filter(({ place, hit }) => {
    const key = `${place}:${hit.document.id}`
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

export interface FinishOptions {
  readonly request: SearchRequest
  readonly terms: readonly string[]
  /** Keys of what words found that has no vector yet. */
  readonly lacking: ReadonlySet<string>
}

/** Adds the text around and what to mark. */
export async function finishHits(
  database: Database,
  found: readonly Found[],
  { request, terms, lacking }: FinishOptions,
): Promise<SearchHit[]> {
  const around = await widened(database, found, request)
  return found.map((item) => ({
    ...item.hit,
    score: item.fused.score,
    scores: { keyword: item.fused.keyword, vector: item.fused.vector, rerank: null },
    ...(lacking.has(item.fused.key) ? { lacksVector: true } : {}),
    highlights: highlightsOf(item.text, terms, [item.language]),
    ...(around.get(item) ?? unwidened(item.hit.chunk)),
  }))
}

async function widened(
  database: Database,
  found: readonly Found[],
  { tenant, neighbours, section, passageCharacters: charactersMax = passageCharacters.default }: SearchRequest,
): Promise<ReadonlyMap<Found, Around>> {
  const around = new Map<Found, Around>()
  if (neighbours === 0 && !section) return around
  for (const place of new Set(found.map((item) => item.place))) {
    const own = found.filter((item) => item.place === place)
    const [first] = own
    if (first === undefined) continue
    const middles = own.map(({ hit: { document, chunk }, ordinal }) => ({ ...chunk, document: document.id, ordinal }))
    const wish = { tenant, collection: first.collection.id, by: section ? ('section' as const) : neighbours, charactersMax, middles }
    const texts = await database.tx({ tenant }, (transaction) => widenHits(transaction, wish), { name: 'widen_hits', readOnly: true })
    for (const [index, item] of own.entries()) {
      const text = texts[index]
      if (text !== undefined) around.set(item, text)
    }
  }
  return around
}
