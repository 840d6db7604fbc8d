/**
 * A large collection for benches of search, written through the gateway's own path: real texts with their real vectors (`search-vectors.ts`),
 * 50 chunks to a document, every document in one of 100 buckets, so that a filter on a bucket lets 1 % through.
 */
import { randomBytes } from 'node:crypto'

import { systemClock } from '../../src/base/clock.ts'
import type { CollectionSettings, Embed, SearchAnswer, SearchRequest } from '../../src/core/corpus.ts'
import { createCollection } from '../../src/search/collections.ts'
import { compactCollection } from '../../src/search/keyword/compact.ts'
import { createSearchMemory, search } from '../../src/search/search.ts'
import { maintainVectors } from '../../src/search/vector-index.ts'
import { writeVectors } from '../../src/search/vector-write.ts'
import { type VectorSet, vectorSets } from '../../src/search/vector/tables.ts'
import { writeDocument } from '../../src/search/write-document.ts'
import type { Database } from '../../src/store/database.ts'
import { chunkOf, documentOf, plainSettings, tenant } from '../../test/search/keyword-corpus.ts'
import type { EmbedderIdentity } from './embedding-source.ts'

export { tenant } from '../../test/search/keyword-corpus.ts'

export const collectionId = 'bench'
export const buckets = 100
const chunksPerDocument = 50
const documentsPerTransaction = 10

export interface SearchCorpus {
  readonly texts: readonly string[]
  readonly vectors: readonly Float32Array[]
  /** What made the vectors. */
  readonly embedder: EmbedderIdentity
}

/** Number of a chunk is its place in the corpus: documents are written in order to an empty collection. */
export function bucketOf(number: number): number {
  return Math.floor(number / chunksPerDocument) % buckets
}

export async function fillCollection(
  database: Database,
  { texts, vectors, embedder }: SearchCorpus,
  settings: Partial<CollectionSettings> = {},
): Promise<void> {
  const all = { ...plainSettings, embedder: embedder.model, ...settings }
  await database.tx({ tenant }, (transaction) =>
    createCollection(transaction, { tenant, id: collectionId, name: collectionId, settings: all }),
  )
  const documents = Math.ceil(vectors.length / chunksPerDocument)
  for (let from = 0; from < documents; from += documentsPerTransaction) {
    await database.tx({ tenant }, async (transaction) => {
      for (let document = from; document < Math.min(from + documentsPerTransaction, documents); document += 1) {
        const first = document * chunksPerDocument
        const own = texts.slice(first, Math.min(first + chunksPerDocument, vectors.length))
        const plain = documentOf(collectionId, `d${document}`, own)
        const chunks = own.map((text, at) => ({ ...chunkOf(text, at), vector: vectors[first + at] ?? null }))
        await writeDocument(
          transaction,
          { ...plain, document: { ...plain.document, metadata: { bucket: document % buckets } }, chunks, embedding: embedder },
          writeVectors,
        )
      }
    })
  }
  await compactCollection(database, { tenant, collection: collectionId }, { isPurging: false, stepsMax: 10_000 })
}

/** Builds the index when one is due. */
export async function buildDueIndex(database: Database): Promise<void> {
  await maintainVectors(database, { newSuffix: () => randomBytes(4).toString('hex') })
}

export async function liveSet(database: Database): Promise<VectorSet> {
  const sets = await database.tx({ tenant }, (transaction) => vectorSets(transaction, { tenant, collections: [collectionId] }))
  const live = sets.find(({ isLive }) => isLive)
  if (live === undefined) throw new Error('the collection has no vectors')
  return live
}

/** Searches as the gateway does, with query vectors that are already known. */
export function searcher(
  database: Database,
  { vectorOf, digest }: { readonly vectorOf: ReadonlyMap<string, Float32Array>; readonly digest: string },
): (query: string, overrides?: Partial<SearchRequest>) => Promise<SearchAnswer> {
  const memory = createSearchMemory()
  const { signal } = new AbortController()
  const embed: Embed = async ([query = '']) => {
    const vector = vectorOf.get(query)
    if (vector === undefined) throw new Error('a query without a vector')
    return { vectors: [vector], digest }
  }
  const plain = {
    tenant,
    collections: [collectionId],
    mode: 'hybrid',
    limit: 10,
    filter: [],
    facets: [],
    neighbours: 0,
    section: false,
    perDocument: false,
    reranker: null,
  } as const
  const unlimited = { embedMs: Number.POSITIVE_INFINITY, endsAtMs: Number.POSITIVE_INFINITY }
  return (query, overrides = {}) =>
    search(
      { ...plain, query, explain: false, ...overrides },
      { database, clock: systemClock, embed, ask: null, memory, signal, ...unlimited },
    )
}

/** Places of the nearest vectors by comparing with every one that is allowed. */
export function nearestByHand(
  vectors: readonly Float32Array[],
  asked: Float32Array,
  { limit, isAllowed = () => true }: { limit: number; isAllowed?: (at: number) => boolean },
): number[] {
  const scores = new Float64Array(vectors.length).fill(Number.NEGATIVE_INFINITY)
  for (const [at, vector] of vectors.entries()) {
    if (!isAllowed(at)) continue
    let sum = 0
    for (let index = 0; index < asked.length; index += 1) sum += (asked[index] ?? 0) * (vector[index] ?? 0)
    scores[at] = sum
  }
  const least = scores.toSorted().at(-limit) ?? Number.NEGATIVE_INFINITY
  return Array.from(scores.keys())
    .filter((at) => (scores[at] ?? least) > Number.NEGATIVE_INFINITY && (scores[at] ?? least) >= least)
    .toSorted((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0))
    .slice(0, limit)
}

/** Share of `expected` that is in `found`; all of nothing is all. */
export function sharedShare(found: readonly number[], expected: readonly number[]): number {
  if (expected.length === 0) return 1
  const set = new Set(found)
  return expected.filter((item) => set.has(item)).length / expected.length
}
