/**
 * The rows of collections, documents and chunks as writes and removals change them: each function is one or a few statements in the
 * caller's transaction. What is written when, and the keyword index, is `write-document.ts` and `delete-document.ts`.
 */
import { z } from 'zod'

import type { EmbeddedChunk, Metadata } from '../core/corpus.ts'
import type { Transaction } from '../store/database.ts'
import type { RemovedChunk } from './keyword/index-remove.ts'
import type { Owner } from './keyword/memory.ts'
import { tokeniserVersion } from './tokenise.ts'

/** Chunks in one statement. */
const chunksPerStatement = 500

export interface DocumentWrite {
  readonly tenant: string
  /** The collection's id. */
  readonly collection: string
  readonly document: {
    readonly id: string
    readonly title: string
    readonly uri: string | null
    readonly metadata: Metadata
    readonly contentType: string
    readonly contentHash: string
    readonly sizeBytes: number
    readonly text: string
    readonly pages: number | null
    readonly warnings: readonly string[]
  }
  readonly chunks: readonly EmbeddedChunk[]
  /** Of the vectors; null when there are none. */
  readonly embedding: { readonly model: string; readonly digest: string } | null
}

export interface NumberedChunk {
  readonly number: number
  readonly chunk: EmbeddedChunk
  /** It had this number, and this hash, before. */
  readonly isKept: boolean
  /** Of a chunk of the earlier revision with this hash, whose vector is this one's too; null: there was none. */
  readonly before: number | null
}

const collectionRow = z.object({
  settings: z.looseObject({ language: z.string().default('auto') }),
  next_number: z.number(),
  languages: z.record(z.string(), z.number()),
})

/** Locks the collection's row for the rest of the transaction; null when there is none. */
export async function lockForWrite(transaction: Transaction, { tenant, collection }: Owner): Promise<z.infer<typeof collectionRow> | null> {
  const { rows } = await transaction.query(
    'select settings, next_number, languages from rag_collections where tenant = $1 and id = $2 for update',
    [tenant, collection],
  )
  return rows[0] === undefined ? null : collectionRow.parse(rows[0])
}

const chunkRow = z.object({
  number: z.number(),
  hash: z.string(),
  lead: z.string(),
  text: z.string(),
  keyword_length: z.number(),
  language: z.string(),
})

export interface StoredChunk extends RemovedChunk {
  readonly hash: string
  /** Terms in it. */
  readonly length: number
}

export interface StoredChunks {
  readonly language: string
  /** Version by which their terms were cut. */
  readonly tokeniser: number
  readonly chunks: readonly StoredChunk[]
}

/** The chunks of a document as it is; null when there is no such document. */
export async function storedChunks(
  transaction: Transaction,
  { tenant, collection }: Owner,
  document: string,
): Promise<StoredChunks | null> {
  const place = [tenant, collection, document]
  const head = await transaction.query(
    'select language, tokeniser from rag_documents where tenant = $1 and collection = $2 and id = $3',
    place,
  )
  if (head.rows[0] === undefined) return null
  const { language, tokeniser } = z.object({ language: z.string(), tokeniser: z.number() }).parse(head.rows[0])
  const { rows } = await transaction.query(
    `select number, hash, lead, text, keyword_length, $4::text as language from rag_chunks
      where tenant = $1 and collection = $2 and document = $3 order by ordinal`,
    [...place, language],
  )
  const chunks = rows.map((row) => {
    const { keyword_length: length, lead, text, ...rest } = chunkRow.parse(row)
    return { ...rest, length, text: lead + text }
  })
  return { language, tokeniser, chunks }
}

/** Postgres has no NUL and no half of a surrogate pair; what stands for them is as long, so that offsets hold. */
export function storable(text: string): string {
  return text.replaceAll('\0', '\ufffd').toWellFormed()
}

/** Writes the document's row; gives its revision. */
export async function upsertDocument(
  transaction: Transaction,
  { tenant, collection, document, chunks }: DocumentWrite,
  language: string,
): Promise<number> {
  const { rows } = await transaction.query(
    `insert into rag_documents
        (tenant, collection, id, title, uri, metadata, content_type, content_hash, size_bytes, text, language, pages, warnings, chunks,
         tokeniser)
      values ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10, $11, $12, $13::jsonb, $14, $15)
      on conflict (tenant, collection, id) do update set title = excluded.title, uri = excluded.uri, metadata = excluded.metadata,
        content_type = excluded.content_type, content_hash = excluded.content_hash, size_bytes = excluded.size_bytes, text = excluded.text,
        language = excluded.language, pages = excluded.pages, warnings = excluded.warnings, chunks = excluded.chunks,
        tokeniser = excluded.tokeniser,
        revision = rag_documents.revision + 1, updated_at = now()
      returning revision`,
    [
      tenant,
      collection,
      document.id,
      storable(document.title),
      document.uri,
      storableJson(document.metadata),
      document.contentType,
      document.contentHash,
      document.sizeBytes,
      storable(document.text),
      language,
      document.pages,
      storableJson(document.warnings),
      chunks.length,
      tokeniserVersion,
    ],
  )
  return z.object({ revision: z.number() }).parse(rows[0]).revision
}

function storableJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'string' ? storable(item) : item))
}

/** What the embedder reads before the text itself; all of what it reads when the text is not its end. */
export function leadOf({ embedText, text }: EmbeddedChunk): string {
  if (embedText.endsWith(text)) return embedText.slice(0, embedText.length - text.length)
  return `${embedText}\n`
}

/** Writes the rows of all chunks of a document in place of those before. */
export async function replaceChunks(
  transaction: Transaction,
  { tenant, collection }: Owner,
  { document, chunks, lengths }: { document: string; chunks: readonly NumberedChunk[]; lengths: ReadonlyMap<number, number> },
): Promise<void> {
  await transaction.query('delete from rag_chunks where tenant = $1 and collection = $2 and document = $3', [tenant, collection, document])
  for (let from = 0; from < chunks.length; from += chunksPerStatement) {
    const rows = chunks.slice(from, from + chunksPerStatement).map(({ number, chunk }) => ({
      number,
      ordinal: chunk.ordinal,
      start_at: chunk.start,
      end_at: chunk.end,
      page: chunk.page,
      headings: chunk.headings,
      kind: chunk.kind,
      text: chunk.text,
      hash: chunk.hash,
      lead: leadOf(chunk),
      keyword_length: lengths.get(number) ?? 0,
    }))
    await transaction.query(
      `insert into rag_chunks
          (tenant, collection, document, number, ordinal, start_at, end_at, page, headings, kind, text, hash, lead, keyword_length)
        select $1, $2, $3, c.* from jsonb_to_recordset($4::jsonb) as c(number integer, ordinal integer, start_at integer, end_at integer,
          page integer, headings text[], kind text, text text, hash text, lead text, keyword_length integer)`,
      [tenant, collection, document, storableJson(rows)],
    )
  }
}

/** Documents by language after one changed from `from` to `to`; null: it was not there, or is no more. */
export function moveLanguage(
  counts: Readonly<Record<string, number>>,
  { from, to }: { readonly from: string | null; readonly to: string | null },
): Record<string, number> {
  const moved = { ...counts }
  if (from !== null) moved[from] = (moved[from] ?? 0) - 1
  if (to !== null) moved[to] = (moved[to] ?? 0) + 1
  return Object.fromEntries(Object.entries(moved).filter(([, count]) => count > 0))
}

export interface CollectionChange {
  /** Differences. */
  readonly chunks: number
  readonly length: number
  readonly documents: number
  /** Numbers given. */
  readonly numbers: number
  readonly languages: Readonly<Record<string, number>>
}

/** Books a change of what can be found; gives the new version. */
export async function raiseVersion(transaction: Transaction, { tenant, collection }: Owner, change: CollectionChange): Promise<number> {
  const { rows } = await transaction.query(
    `update rag_collections set version = version + 1, updated_at = now(), chunks = chunks + $3, keyword_length = keyword_length + $4,
        documents = documents + $5, next_number = next_number + $6, languages = $7::jsonb
      where tenant = $1 and id = $2 returning version`,
    [tenant, collection, change.chunks, change.length, change.documents, change.numbers, JSON.stringify(change.languages)],
  )
  return z.object({ version: z.coerce.number() }).parse(rows[0]).version
}
