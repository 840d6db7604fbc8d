/**
 * Makes a document findable, all of it or nothing, in the caller's transaction: replaces an earlier revision, gives numbers to new chunks,
 * keeps those whose text did not change (with their postings and vectors), and raises the collection's version. Writers of one collection
 * wait for each other on its row. Vectors are written by the function that is handed in.
 */
import type { EmbeddedChunk } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import type { Transaction } from '../store/database.ts'
import { removeFromIndex } from './keyword/index-remove.ts'
import { addSegment } from './keyword/index-write.ts'
import type { Owner } from './keyword/memory.ts'
import { buildSegment } from './keyword/segment.ts'
import { detectLanguage } from './language.ts'
import { tokeniserVersion } from './tokenise.ts'
import {
  type DocumentWrite,
  leadOf,
  lockForWrite,
  moveLanguage,
  type NumberedChunk,
  raiseVersion,
  replaceChunks,
  storable,
  storedChunks,
  type StoredChunk,
  type StoredChunks,
  upsertDocument,
} from './write-document-rows.ts'

export type { DocumentWrite, NumberedChunk } from './write-document-rows.ts'

/** Chunks of one document. */
export const documentChunksMax = 200_000

/** What the vector leg has to do for a document. */
export interface VectorsWrite extends Owner {
  readonly chunks: readonly NumberedChunk[]
  /** Numbers that are no more. */
  readonly removed: readonly number[]
  readonly embedding: DocumentWrite['embedding']
}

export type WriteVectors = (transaction: Transaction, write: VectorsWrite) => Promise<unknown>

export interface DocumentWritten {
  readonly version: number
  readonly revision: number
  readonly added: number
  readonly kept: number
  readonly removed: number
}

/** Throws `conflict` when the collection is gone, `invalid_request` for more than `documentChunksMax` chunks. */
export async function writeDocument(transaction: Transaction, write: DocumentWrite, writeVectors?: WriteVectors): Promise<DocumentWritten> {
  const { document, chunks } = write
  const owner = { tenant: write.tenant, collection: write.collection }
  if (chunks.length > documentChunksMax) {
    throw new CorralError(
      'invalid_request',
      `a document has at most ${documentChunksMax} chunks, ${document.id} has ${chunks.length}: split it`,
    )
  }
  const collection = await lockForWrite(transaction, owner)
  if (collection === null) throw new CorralError('conflict', `the collection of document ${document.id} was removed`)
  const language = collection.settings.language === 'auto' ? detectLanguage(document.text) : collection.settings.language
  const before = await storedChunks(transaction, owner, document.id)
  const plan = numberChunks(chunks, { before, nextNumber: collection.next_number, language })
  const revision = await upsertDocument(transaction, write, language)
  await removeFromIndex(transaction, owner, plan.removed)
  const lengths = await indexAdded(transaction, owner, { plan, language })
  await replaceChunks(transaction, owner, { document: document.id, chunks: plan.chunks, lengths })
  const removed = plan.removed.map(({ number }) => number)
  await writeVectors?.(transaction, { ...owner, chunks: plan.chunks, removed, embedding: write.embedding })
  const added = plan.chunks.filter(({ isKept }) => !isKept)
  const version = await raiseVersion(transaction, owner, {
    chunks: added.length - removed.length,
    length:
      added.reduce((sum, { number }) => sum + (lengths.get(number) ?? 0), 0) - plan.removed.reduce((sum, { length }) => sum + length, 0),
    documents: before === null ? 1 : 0,
    numbers: added.length,
    languages: moveLanguage(collection.languages, { from: before?.language ?? null, to: language }),
  })
  return { version, revision, added: added.length, kept: plan.chunks.length - added.length, removed: removed.length }
}

interface Plan {
  readonly chunks: readonly NumberedChunk[]
  readonly removed: readonly StoredChunk[]
  /** Lengths of those that are kept, by number. */
  readonly keptLengths: ReadonlyMap<number, number>
}

/** Which chunk has which number. In another language, or by another tokeniser, the terms are others, so every chunk gets a new one. */
function numberChunks(
  chunks: readonly EmbeddedChunk[],
  { before, nextNumber, language }: { before: StoredChunks | null; nextNumber: number; language: string },
): Plan {
  const earlier = Map.groupBy(before?.chunks ?? [], ({ hash }) => hash)
  const free =
    before?.language === language && before.tokeniser === tokeniserVersion
      ? new Map([...earlier].map(([hash, same]) => [hash, same.values()]))
      : null
  const keptLengths = new Map<number, number>()
  let next = nextNumber
  const numbered = chunks.map((chunk): NumberedChunk => {
    const same = free?.get(chunk.hash)?.next().value
    if (same === undefined) return { number: next++, chunk, isKept: false, before: earlier.get(chunk.hash)?.[0]?.number ?? null }
    keptLengths.set(same.number, same.length)
    return { number: same.number, chunk, isKept: true, before: same.number }
  })
  return { chunks: numbered, removed: (before?.chunks ?? []).filter(({ number }) => !keptLengths.has(number)), keptLengths }
}

/** Indexes the new chunks; gives the length of every chunk by number. */
async function indexAdded(
  transaction: Transaction,
  owner: Owner,
  { plan, language }: { plan: Plan; language: string },
): Promise<Map<number, number>> {
  const added = plan.chunks.filter(({ isKept }) => !isKept)
  const texts = added.map(({ number, chunk }) => ({ number, text: storable(leadOf(chunk) + chunk.text) }))
  const built = await buildSegment(texts, language)
  await addSegment(transaction, owner, built)
  const lengths = new Map(plan.keptLengths)
  for (const [ordinal, number] of built.map.numbers.entries()) lengths.set(number, built.map.lengths[ordinal] ?? 0)
  return lengths
}
