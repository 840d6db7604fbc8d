/** Corpora for tests of the keyword leg: documents of made chunks, written through the real path, and BM25 over all of them by hand. */
import { createHash } from 'node:crypto'

import { systemClock } from '../../src/base/clock.ts'
import { b, k1 } from '../../src/search/bm25.ts'
import type { EmbeddedChunk } from '../../src/core/corpus.ts'
import { migrations } from '../../src/migrations.ts'
import { createCollection } from '../../src/search/collections.ts'
import { queryTerms } from '../../src/search/keyword/query-terms.ts'
import { countTerms } from '../../src/search/keyword/segment.ts'
import { type DocumentWrite, writeDocument } from '../../src/search/write-document.ts'
import type { Database } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'

export const tenant = 'acme'

export const plainSettings = {
  embedder: null,
  language: 'en',
  chunking: { targetTokens: 200, maxTokens: 400, overlapTokens: 0 },
  fusionWeight: 0.5,
  retentionDays: null,
}

export function chunkOf(text: string, ordinal: number, lead = ''): EmbeddedChunk {
  const embedText = lead + text
  return {
    ordinal,
    text,
    start: 0,
    end: text.length,
    page: null,
    headings: [],
    kind: 'text',
    embedText,
    hash: createHash('sha256').update(embedText).digest('hex'),
    vector: null,
  }
}

export function documentOf(collection: string, id: string, chunks: readonly string[], lead = ''): DocumentWrite {
  const text = chunks.join('\n')
  return {
    tenant,
    collection,
    document: {
      id,
      title: id,
      uri: null,
      metadata: {},
      contentType: 'text/plain',
      contentHash: createHash('sha256').update(text).digest('hex'),
      sizeBytes: text.length,
      text,
      pages: null,
      warnings: [],
    },
    chunks: chunks.map((chunk, ordinal) => chunkOf(chunk, ordinal, lead)),
    embedding: null,
  }
}

/** Takes all collections out of a database, with their tables of vectors. Making a database for each test takes seconds. */
export async function emptyCollections(database: Database): Promise<void> {
  await migrate(database, migrations, systemClock)
  await database.tx('system', async ({ query }) => {
    await query('delete from rag_postings')
    await query('delete from rag_collections')
    await query('select rag_vector_drop(name) from rag_vector_tables')
  })
}

/** A migrated database that holds only a collection `docs` of id `c1`. */
export async function withCollection(database: Database, settings: Partial<typeof plainSettings> = {}): Promise<void> {
  await emptyCollections(database)
  await database.tx({ tenant }, (transaction) =>
    createCollection(transaction, { tenant, id: 'c1', name: 'docs', settings: { ...plainSettings, ...settings } }),
  )
}

export async function put(database: Database, id: string, chunks: readonly string[]): Promise<void> {
  await database.tx({ tenant }, (transaction) => writeDocument(transaction, documentOf('c1', id, chunks)))
}

/** Words by a law like Zipf's, so that lists have all lengths. */
export function randomText(random: () => number, words: number): string {
  return Array.from({ length: words }, () =>
    `w${Math.floor(400 ** random())}x`.replace(/\d/gu, (digit) => 'abcdefghij'[Number(digit)] ?? ''),
  ).join(' ')
}

/** BM25 of every text by number, computed from scratch: the plain formula without segments, lists or pruning. */
export function scoredByHand(texts: ReadonlyMap<number, string>, query: string): Map<number, number> {
  const counted = new Map(Array.from(texts, ([number, text]) => [number, countTerms(text, 'en')]))
  const average = [...counted.values()].reduce((sum, { length }) => sum + length, 0) / counted.size
  const scores = new Map<number, number>()
  for (const { term, weight, sureWeight } of queryTerms(query, ['en'])) {
    const having = [...counted].filter(([, { frequencies }]) => frequencies.has(term))
    if (having.length === 0) continue
    const isSure = sureWeight > 0 && having.length <= 3
    const idf = Math.log(1 + (counted.size - having.length + 0.5) / (having.length + 0.5))
    const factor = idf * (isSure ? Math.max(sureWeight, weight) : weight)
    for (const [number, { frequencies, length }] of having) {
      const frequency = frequencies.get(term) ?? 0
      const saturated = (frequency * (k1 + 1)) / (frequency + k1 * (1 - b + (b * length) / average))
      const floor = isSure ? (factor * (k1 + 1)) / having.length : 0
      scores.set(number, (scores.get(number) ?? 0) + floor + factor * saturated)
    }
  }
  return scores
}
