/**
 * Stages upload, extract and chunk: the bytes of a job become the text and the chunks of its document, kept in the job's parts. Nothing
 * is kept of a part of it: the stage counts as done only with the transaction that notes what was prepared.
 */
import type { Chunk, ParsedDocument } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import { chunkDocument } from './chunk.ts'
import { ingestSettings, type IngestSettings, storedDocument } from './documents-stored.ts'
import type { IngestDeps, SourceBytes } from './job-deps.ts'
import type { Job } from './job.ts'
import { wholeDocument } from './job-options.ts'
import type { Lease } from './jobs/lease.ts'
import { chunksPerPart, clearParts, clearVectors, type Prepared, saveChunkPart, saveTextPart, textPartCount } from './jobs/parts.ts'
import type { Report } from './progress.ts'
import type { Transaction } from '../store/database.ts'
import { readSource, type Source, sourceBytes, sourceOfDocument, storeSource } from './sources.ts'

/** Longest turn of the event loop while chunks are cut. */
const turnMs = 4
/** Given to an embedder beyond the text: special tokens. */
const specialTokens = 4

interface Begun {
  /** As it is done: one that makes a document again knows only now what the document is. */
  readonly job: Job
  readonly source: Source
}

/** The bytes that the job is about; those of one that is only an address are fetched and stored first. */
export async function ensureSource(lease: Lease, { deps, report }: { deps: IngestDeps; report: Report }): Promise<Begun> {
  const { job } = lease
  const { tenant, source: id, uri } = job
  if (job.kind === 'reingest') return visibleSource(lease)
  if (id !== null) {
    const source = await deps.database.tx({ tenant }, (transaction) => readSource(transaction, { tenant, id }), {
      name: 'ensure_source',
      readOnly: true,
    })
    if (source === null) throw new CorralError('conflict', `the bytes of ${job.name} were removed before they were read`)
    return { job, source }
  }
  if (uri === null) throw new Error(`job ${job.id} has neither bytes nor an address`)
  await report({ stage: 'upload', done: 0, total: 1 })
  const fetched = await deps.fetchSource(uri, { signal: lease.signal })
  const place = { tenant, collection: job.collection, document: job.document }
  const source = await storeSource(
    deps.database,
    { ...place, name: fetched.name, declaredType: fetched.declaredType, uri },
    { bytes: [fetched.bytes], bytesMax: deps.options().sourceBytesMax },
  )
  await lease.tx((transaction) => noteSource(transaction, job, source), { name: 'ensure_source' })
  await report({ stage: 'upload', done: 1, total: 1 })
  return { job, source }
}

/** What is visible when the job begins, not when it was made: a revision that came in between is not taken back. */
function visibleSource(lease: Lease): Promise<Begun> {
  const { job } = lease
  return lease.tx(
    async (transaction) => {
      const source = await sourceOfDocument(transaction, job)
      const stored = await storedDocument(transaction, job)
      if (source === null || stored === null) throw new CorralError('conflict', `the bytes of ${job.name} are not kept: give them again`)
      await noteSource(transaction, job, source)
      const { title, uri, metadata } = stored
      return { job: { ...job, title, uri, metadata }, source }
    },
    { name: 'ensure_source' },
  )
}

/** What was prepared of another source does not count any more: its text would be published as that of this one. */
async function noteSource(transaction: Transaction, { tenant, id }: Job, source: Source): Promise<void> {
  await transaction.query(
    `update rag_jobs set source = $3, content_hash = $4, name = $5, prepared = case when source = $3 then prepared end
      where tenant = $1 and id = $2`,
    [tenant, id, source.id, source.sha256, source.name],
  )
}

/** Parses and chunks the source and keeps the result. */
export async function prepare(
  job: Job,
  lease: Lease,
  { source, settings, deps, report }: { source: Source; settings: IngestSettings; deps: IngestDeps; report: Report },
): Promise<Prepared> {
  await report({ stage: 'extract', done: 0, total: 1 })
  const read = await extract(await wholeSource(source, deps), lease.signal, deps)
  // A title that was given with the document stands for its own, in lists and before what is indexed and embedded.
  const parsed = { ...read, title: job.title ?? read.title }
  await report({ stage: 'extract', done: 1, total: 1 })
  const chunks = await cutDocument(parsed, { job, settings, deps })
  await report({ stage: 'chunk', done: 0, total: chunks.length })
  await keepText(parsed.text, job, lease)
  await keepChunks(chunks, lease, { job, report })
  const prepared: Prepared = {
    title: parsed.title ?? job.name,
    contentType: parsed.contentType,
    pages: parsed.pages,
    warnings: [...parsed.warnings],
    chunks: chunks.length,
    model: settings.embedder,
    digest: null,
  }
  await notePrepared(lease, job, prepared)
  return prepared
}

/** Notes what a job has prepared; with it a stage is done. */
export async function notePrepared(lease: Lease, { tenant, id }: Job, prepared: Prepared): Promise<void> {
  const text = 'update rag_jobs set prepared = $3::jsonb where tenant = $1 and id = $2'
  await lease.tx((transaction) => transaction.query(text, [tenant, id, JSON.stringify(prepared)]), { name: 'note_prepared' })
}

/** What the collection's documents are made by now. Throws `conflict` when it is gone. */
export async function settingsOf({ tenant, collection }: Job, { database }: IngestDeps): Promise<IngestSettings> {
  const settings = await database.tx({ tenant }, (transaction) => ingestSettings(transaction, { tenant, collection }), {
    name: 'settings_of',
    readOnly: true,
  })
  if (settings === null) throw new CorralError('conflict', 'the collection was removed')
  return settings
}

async function wholeSource({ tenant, id, name, declaredType, sizeBytes }: Source, { database }: IngestDeps): Promise<SourceBytes> {
  const bytes = new Uint8Array(sizeBytes)
  let at = 0
  for await (const part of sourceBytes(database, { tenant, id })) {
    bytes.set(part, at)
    at += part.length
  }
  return { bytes, name, declaredType }
}

/** What the parser finds in the bytes, and what enrichers add to it. */
async function extract(source: SourceBytes, signal: AbortSignal, { parse, enrichers }: IngestDeps): Promise<ParsedDocument> {
  let parsed = await parse(source, { signal })
  for (const enrich of enrichers) parsed = await enrich(parsed, source, { signal })
  return readable(parsed)
}

/** Without what no database text can hold; every offset stays. */
function readable(parsed: ParsedDocument): ParsedDocument {
  return { ...parsed, text: parsed.text.replaceAll('\0', '\uFFFD').toWellFormed() }
}

/** All chunks; the event loop is let go between them. */
async function cutDocument(
  parsed: ParsedDocument,
  { job, settings, deps }: { job: Job; settings: IngestSettings; deps: IngestDeps },
): Promise<Chunk[]> {
  const { embedder, chunking } = settings
  const { chunksMax } = deps.options()
  const context = embedder === null ? null : await deps.contextTokens(embedder)
  const maxTokens = context === null ? chunking.maxTokens : Math.min(chunking.maxTokens, Math.max(1, context - specialTokens))
  const options = { name: job.name, settings: { ...chunking, maxTokens }, estimate: deps.estimates.of(embedder) }
  const chunks: Chunk[] = []
  let turnStartMs = deps.clock.nowMs()
  for (const chunk of chunkDocument(parsed, options)) {
    if (chunks.length >= chunksMax)
      throw new CorralError('document_too_large', `it has more than ${chunksMax} chunks: split it, or set larger chunks`)
    chunks.push(chunk)
    if (deps.clock.nowMs() - turnStartMs < turnMs) continue
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
    turnStartMs = deps.clock.nowMs()
  }
  return chunks
}

async function keepText(text: string, job: Job, lease: Lease): Promise<void> {
  await lease.tx(
    async (transaction) => {
      await clearParts(transaction, job)
      await clearVectors(transaction, job)
    },
    { name: 'keep_text', ...wholeDocument },
  )
  for (let part = 0; part < textPartCount(text); part += 1)
    await lease.tx((transaction) => saveTextPart(transaction, job, { text, part }), { name: 'keep_text' })
}

async function keepChunks(chunks: readonly Chunk[], lease: Lease, { job, report }: { job: Job; report: Report }): Promise<void> {
  for (let part = 0; part * chunksPerPart < chunks.length; part += 1) {
    const some = chunks.slice(part * chunksPerPart, (part + 1) * chunksPerPart)
    await lease.tx((transaction) => saveChunkPart(transaction, job, { chunks: some, part }), { name: 'keep_chunks' })
    await report({ stage: 'chunk', done: part * chunksPerPart + some.length, total: chunks.length })
  }
}
