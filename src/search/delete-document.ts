/**
 * Removes a document from everything that finds or shows it, in the caller's transaction: rows, postings, vectors, totals; and raises
 * the collection's version. What a removed chunk leaves in the lists of frequent terms until upkeep is said in `keyword/index-remove.ts`.
 */
import type { Transaction } from '../store/database.ts'
import { removeFromIndex } from './keyword/index-remove.ts'
import { lockForWrite, moveLanguage, raiseVersion, storedChunks } from './write-document-rows.ts'

export interface DocumentPlace {
  readonly tenant: string
  /** The collection's id. */
  readonly collection: string
  readonly document: string
}

/** Removes the vectors of chunks by number, in the document's transaction. */
export type DeleteVectors = (
  transaction: Transaction,
  removal: { readonly tenant: string; readonly collection: string; readonly numbers: readonly number[] },
) => Promise<unknown>

/** False when there is no such document. */
export async function deleteDocument(
  transaction: Transaction,
  { tenant, collection, document }: DocumentPlace,
  deleteVectors?: DeleteVectors,
): Promise<boolean> {
  const owner = { tenant, collection }
  const found = await lockForWrite(transaction, owner)
  if (found === null) return false
  const stored = await storedChunks(transaction, owner, document)
  if (stored === null) return false
  const { chunks, language } = stored
  await removeFromIndex(transaction, owner, chunks)
  await deleteVectors?.(transaction, { ...owner, numbers: chunks.map(({ number }) => number) })
  await transaction.query('delete from rag_chunks where tenant = $1 and collection = $2 and document = $3', [tenant, collection, document])
  await transaction.query('delete from rag_documents where tenant = $1 and collection = $2 and id = $3', [tenant, collection, document])
  await raiseVersion(transaction, owner, {
    chunks: -chunks.length,
    length: -chunks.reduce((sum, { length }) => sum + length, 0),
    documents: -1,
    numbers: 0,
    languages: moveLanguage(found.languages, { from: language, to: null }),
  })
  return true
}
