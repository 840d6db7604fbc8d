/** Documents of a collection as their owner reads them: a page of them, one, its text. Writing is `write-document.ts`. */
import { z } from 'zod'

import type { DocumentHead, Metadata } from '../core/corpus.ts'
import type { Row, Transaction } from '../store/database.ts'
import type { DocumentPlace } from './delete-document.ts'

export interface DocumentView extends DocumentHead {
  readonly contentType: string
  /** SHA-256 of the source's bytes, hex. */
  readonly contentHash: string
  readonly sizeBytes: number
  readonly language: string
  readonly pages: number | null
  readonly chunks: number
  /** What the owner should know, e.g. that a page needs OCR. */
  readonly warnings: readonly string[]
  /** Raised with each replacement. */
  readonly revision: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

const metadataValue = z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.union([z.string(), z.number(), z.boolean()]))])

const documentRow = z.object({
  id: z.string(),
  title: z.string(),
  uri: z.string().nullable(),
  metadata: z.record(z.string(), metadataValue),
  content_type: z.string(),
  content_hash: z.string(),
  size_bytes: z.coerce.number(),
  language: z.string(),
  pages: z.number().nullable(),
  chunks: z.number(),
  warnings: z.array(z.string()),
  revision: z.number(),
  created_at: z.date(),
  updated_at: z.date(),
})

const columns = Object.keys(documentRow.shape).join(', ')

function decode(row: Row): DocumentView {
  const read = documentRow.parse(row)
  return {
    id: read.id,
    title: read.title,
    uri: read.uri,
    metadata: read.metadata satisfies Metadata,
    contentType: read.content_type,
    contentHash: read.content_hash,
    sizeBytes: read.size_bytes,
    language: read.language,
    pages: read.pages,
    chunks: read.chunks,
    warnings: read.warnings,
    revision: read.revision,
    createdAtMs: read.created_at.getTime(),
    updatedAtMs: read.updated_at.getTime(),
  }
}

/** A page of documents in the order of their ids, those after `after`. */
export async function listDocuments(
  transaction: Transaction,
  { tenant, collection, after, limit }: Omit<DocumentPlace, 'document'> & { readonly after: string; readonly limit: number },
): Promise<DocumentView[]> {
  const text = `select ${columns} from rag_documents where tenant = $1 and collection = $2 and id collate "C" > $3 order by id collate "C" limit $4`
  const { rows } = await transaction.query(text, [tenant, collection, after, limit])
  return rows.map(decode)
}

/** Null when it is not there. */
export async function getDocument(transaction: Transaction, { tenant, collection, document }: DocumentPlace): Promise<DocumentView | null> {
  const text = `select ${columns} from rag_documents where tenant = $1 and collection = $2 and id = $3`
  const { rows } = await transaction.query(text, [tenant, collection, document])
  return rows[0] === undefined ? null : decode(rows[0])
}

/** The text that offsets of chunks and citations count in; null when the document is not there. */
export async function documentText(transaction: Transaction, { tenant, collection, document }: DocumentPlace): Promise<string | null> {
  const text = 'select text from rag_documents where tenant = $1 and collection = $2 and id = $3'
  const { rows } = await transaction.query(text, [tenant, collection, document])
  return rows[0] === undefined ? null : z.object({ text: z.string() }).parse(rows[0]).text
}
