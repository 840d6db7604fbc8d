/** Collections with vectors for tests: texts embedded by the simulator's hashing embedder, written through the real path. */
import { systemClock } from '../../src/base/clock.ts'
import type { CollectionSettings, Embed, Metadata, SearchRequest } from '../../src/core/corpus.ts'
import { CorralError } from '../../src/core/errors.ts'
import { createCollection } from '../../src/search/collections.ts'
import { createSearchMemory, type SearchDeps } from '../../src/search/search.ts'
import { writeVectors } from '../../src/search/vector-write.ts'
import { type DocumentWrite, writeDocument } from '../../src/search/write-document.ts'
import { hashEmbedder } from '../../src/sim/embedder.ts'
import type { Database } from '../../src/store/database.ts'
import { documentOf, emptyCollections, plainSettings, tenant } from './keyword-corpus.ts'

export const dimensions = 64
export const digest = 'sha256:one'
export const model = 'hash-embedder'

export async function vectorsOf(texts: readonly string[]): Promise<Float32Array[]> {
  return hashEmbedder(texts, dimensions)
}

/** Embeds as `vectorsOf`. */
export const embed: Embed = async (texts) => ({ vectors: await vectorsOf(texts), digest })

export const embedderDown: Embed = () => Promise.reject(new CorralError('no_node', 'no node has hash-embedder'))

export interface Written {
  readonly collection?: string
  readonly id: string
  readonly chunks: readonly string[]
  readonly metadata?: Metadata
  /** Heading path of each chunk. */
  readonly headings?: readonly (readonly string[])[]
  readonly digest?: string
  /** False: the embedder was down. */
  readonly isEmbedded?: boolean
}

/** Chunks stand in the document's text one after another, joined by a line break. */
export async function writeOf({
  collection = 'c1',
  id,
  chunks,
  metadata = {},
  headings = [],
  digest: by = digest,
  isEmbedded = true,
}: Written): Promise<DocumentWrite> {
  const plain = documentOf(collection, id, chunks)
  const vectors = await vectorsOf(chunks)
  let at = 0
  const placed = plain.chunks.map((chunk, ordinal) => {
    const start = at
    at += chunk.text.length + 1
    return {
      ...chunk,
      headings: headings[ordinal] ?? [],
      start,
      end: start + chunk.text.length,
      vector: isEmbedded ? (vectors[ordinal] ?? null) : null,
    }
  })
  return { ...plain, document: { ...plain.document, metadata }, chunks: placed, embedding: isEmbedded ? { model, digest: by } : null }
}

export async function put(database: Database, written: Written | DocumentWrite): Promise<void> {
  const write = 'document' in written ? written : await writeOf(written)
  await database.tx({ tenant }, (transaction) => writeDocument(transaction, write, writeVectors))
}

export interface MadeCollection {
  readonly id?: string
  readonly name?: string
  readonly settings?: Partial<CollectionSettings>
}

export async function makeCollection(database: Database, { id = 'c1', name = 'docs', settings = {} }: MadeCollection = {}): Promise<void> {
  await database.tx({ tenant }, (transaction) =>
    createCollection(transaction, { tenant, id, name, settings: { ...plainSettings, embedder: model, ...settings } }),
  )
}

/** A migrated database that holds only the collection `docs`, which is embedded. */
export async function withVectors(database: Database, settings: Partial<CollectionSettings> = {}): Promise<void> {
  await emptyCollections(database)
  await makeCollection(database, { settings })
}

export function depsOf(database: Database, overrides: Partial<SearchDeps> = {}): SearchDeps {
  return {
    database,
    clock: systemClock,
    embed,
    ask: null,
    memory: createSearchMemory(),
    signal: new AbortController().signal,
    embedMs: 5_000,
    endsAtMs: Number.POSITIVE_INFINITY,
    ...overrides,
  }
}

export function requestOf(query: string, overrides: Partial<SearchRequest> = {}): SearchRequest {
  return {
    tenant,
    collections: ['docs'],
    query,
    mode: 'hybrid',
    limit: 10,
    filter: [],
    facets: [],
    neighbours: 0,
    section: false,
    perDocument: false,
    reranker: null,
    explain: false,
    ...overrides,
  }
}
