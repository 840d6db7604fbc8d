/**
 * What ingest reads of collections and visible documents, whose tables are `search`'s: settings to work by, and hashes to know what is
 * there already. Nothing is written here.
 */
import { z } from 'zod'

import type { ChunkingSettings, Metadata } from '../core/corpus.ts'
import type { Transaction } from '../store/database.ts'
import { chunkingDefaults } from './chunk.ts'
import { metadataShape } from './job.ts'
import type { DocumentPlace } from './job-deps.ts'

const settingsRow = z.object({
  settings: z.object({
    embedder: z.string().nullable().default(null),
    chunking: z.object({ targetTokens: z.number(), maxTokens: z.number(), overlapTokens: z.number() }).partial().default({}),
  }),
})

export interface IngestSettings {
  readonly embedder: string | null
  readonly chunking: ChunkingSettings
}

/** What a collection's documents are made by; null when there is no such collection. */
export async function ingestSettings(
  transaction: Transaction,
  { tenant, collection }: { tenant: string; collection: string },
): Promise<IngestSettings | null> {
  const { rows } = await transaction.query('select settings from rag_collections where tenant = $1 and id = $2', [tenant, collection])
  if (rows[0] === undefined) return null
  const { embedder, chunking } = settingsRow.parse(rows[0]).settings
  return {
    embedder,
    chunking: {
      targetTokens: chunking.targetTokens ?? chunkingDefaults.targetTokens,
      maxTokens: chunking.maxTokens ?? chunkingDefaults.maxTokens,
      overlapTokens: chunking.overlapTokens ?? chunkingDefaults.overlapTokens,
    },
  }
}

export interface StoredDocument {
  readonly contentHash: string
  readonly title: string
  readonly uri: string | null
  readonly metadata: Metadata
}

const documentRow = z.object({ content_hash: z.string(), title: z.string(), uri: z.string().nullable(), metadata: metadataShape })

/** The visible revision of a document. */
export async function storedDocument(
  transaction: Transaction,
  { tenant, collection, document }: DocumentPlace,
): Promise<StoredDocument | null> {
  const text = 'select content_hash, title, uri, metadata from rag_documents where tenant = $1 and collection = $2 and id = $3'
  const { rows } = await transaction.query(text, [tenant, collection, document])
  if (rows[0] === undefined) return null
  const { content_hash: contentHash, title, uri, metadata } = documentRow.parse(rows[0])
  return { contentHash, title, uri, metadata }
}

/** Another document of the collection made of the same bytes. */
export async function documentWithHash(
  transaction: Transaction,
  { tenant, collection, document, contentHash }: DocumentPlace & { readonly contentHash: string },
): Promise<string | null> {
  const text = `select id from rag_documents where tenant = $1 and collection = $2 and content_hash = $3 and id <> $4 order by created_at, id limit 1`
  const { rows } = await transaction.query(text, [tenant, collection, contentHash, document])
  return rows[0] === undefined ? null : z.object({ id: z.string() }).parse(rows[0]).id
}
