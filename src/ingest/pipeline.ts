/**
 * One attempt at a job, through all stages from wherever the last attempt ended. Throws what ended it; the job's row is settled by the
 * caller (`job-settle.ts`).
 */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'

import type { Chunk } from '../core/corpus.ts'
import { documentWithHash, type IngestSettings, storedDocument } from './documents-stored.ts'
import type { Transaction } from '../store/database.ts'
import type { DocumentPlace, IngestDeps, WrittenDocument } from './job-deps.ts'
import type { Job } from './job.ts'
import { wholeDocument } from './job-options.ts'
import type { Lease } from './jobs/lease.ts'
import { clearMade } from './jobs/job-control.ts'
import { type Prepared, preparedDocument, readChunks, readText } from './jobs/parts.ts'
import { noteGiven, type Source } from './sources.ts'
import { embedChunks, type EmbedContext, EmbedderMissing } from './stage-embed.ts'
import { indexDocument, indexWords } from './stage-index.ts'
import { ensureSource, prepare, settingsOf } from './stage-prepare.ts'

const preparedRow = z.object({ prepared: preparedDocument.nullable() })

/** Does the job, and gives what came of its document. Throws `LeaseLost` when it was taken away, `EmbedderMissing`, or what a stage throws. */
export async function runJob(lease: Lease, context: EmbedContext): Promise<WrittenDocument> {
  const { deps, report, gates } = context
  const { job, source } = await ensureSource(lease, context)
  const settings = await settingsOf(job, deps)
  const earlier = await earlierPrepared(job, { deps, settings })
  const same = await whatIsThere(job, source, { deps, settings, isBegun: earlier !== null })
  if (same.isUnchanged) return finishWithout(lease, 'unchanged', { duplicateOf: null, sizeBytes: source.sizeBytes })
  if (same.duplicateOf !== null && same.isNew && job.skipsDuplicates)
    return finishWithout(lease, 'duplicate', { duplicateOf: same.duplicateOf, sizeBytes: source.sizeBytes })
  const prepared = earlier ?? (await gates.extract.pass(lease.signal, () => prepare(job, lease, { source, settings, deps, report })))
  const chunks = await chunksOf(job, deps)
  const ready = { job, source, prepared, chunks, duplicateOf: same.duplicateOf }
  const embedded = await embedOrShowWords(ready, lease, context)
  await report({ stage: 'index', done: 0, total: 1 })
  await gates.index.pass(lease.signal, () => indexDocument({ ...ready, prepared: embedded }, lease, context))
  return { outcome: 'written', contentType: prepared.contentType, chunks: chunks.length, sizeBytes: source.sizeBytes }
}

interface Ready {
  readonly job: Job
  readonly source: Source
  readonly prepared: Prepared
  readonly chunks: readonly Chunk[]
  readonly duplicateOf: string | null
}

async function embedOrShowWords(ready: Ready, lease: Lease, context: EmbedContext): Promise<Prepared> {
  try {
    return await embedChunks({ ...ready, lease }, context)
  } catch (error) {
    const showsWords = error instanceof EmbedderMissing && ready.job.isSearchableWithoutVectors
    if (showsWords) await context.gates.index.pass(lease.signal, () => indexWords(ready, lease, context))
    throw error
  }
}

/** What an earlier attempt prepared of the job's source for the embedder that the collection has now. */
async function earlierPrepared(
  { tenant, id }: Job,
  { deps, settings }: { readonly deps: IngestDeps; readonly settings: IngestSettings },
): Promise<Prepared | null> {
  const text = 'select prepared from rag_jobs where tenant = $1 and id = $2'
  const { rows } = await deps.database.tx({ tenant }, (transaction) => transaction.query(text, [tenant, id]), {
    name: 'earlier_prepared',
    readOnly: true,
  })
  const prepared = rows[0] === undefined ? null : preparedRow.parse(rows[0]).prepared
  return prepared?.model === settings.embedder ? prepared : null
}

function chunksOf(job: Job, { database }: IngestDeps): Promise<Chunk[]> {
  const { tenant } = job
  return database.tx({ tenant }, async (transaction) => readChunks(transaction, job, await readText(transaction, job)), {
    name: 'chunks_of',
    readOnly: true,
    ...wholeDocument,
  })
}

/** Whether the document is there already, just as this job would make it or otherwise, and whether its bytes are as another document. */
async function whatIsThere(
  job: Job,
  { sha256: contentHash }: Source,
  { deps, settings, isBegun }: { readonly deps: IngestDeps; readonly settings: IngestSettings; readonly isBegun: boolean },
): Promise<{ isUnchanged: boolean; isNew: boolean; duplicateOf: string | null }> {
  const { tenant, collection, document } = job
  const place = { tenant, collection, document }
  return deps.database.tx(
    { tenant },
    async (transaction) => {
      const duplicateOf = await documentWithHash(transaction, { ...place, contentHash })
      const stored = await storedDocument(transaction, place)
      const isSame =
        !isBegun &&
        job.kind !== 'reingest' &&
        stored?.contentHash === contentHash &&
        (job.title === null || job.title === stored.title) &&
        job.uri === stored.uri &&
        isDeepStrictEqual(job.metadata, stored.metadata)
      const isUnchanged = isSame && (await isEmbedded(transaction, place, { deps, embedder: settings.embedder }))
      return { isUnchanged, isNew: stored === null, duplicateOf }
    },
    { name: 'what_is_there', readOnly: true },
  )
}

/** False for what is shown by its words only because an embedder was missing, and for vectors of another embedder or of another build. */
async function isEmbedded(
  transaction: Transaction,
  place: DocumentPlace,
  { deps, embedder }: { readonly deps: IngestDeps; readonly embedder: string | null },
): Promise<boolean> {
  if (embedder === null) return true
  return !(await deps.lacksVectors(transaction, place, deps.embedderDigest(embedder)))
}

/** Ends the job without writing the document. */
async function finishWithout(
  lease: Lease,
  outcome: 'unchanged' | 'duplicate',
  { duplicateOf, sizeBytes }: { readonly duplicateOf: string | null; readonly sizeBytes: number },
): Promise<WrittenDocument> {
  const { job } = lease
  await lease.stop()
  await lease.tx(
    async (transaction) => {
      await transaction.query(
        `update rag_jobs set state = 'done', outcome = $3, duplicate_of = $4, lease_owner = null, lease_until = null, prepared = null,
         error_code = null, error_message = null, finished_at = now()
       where tenant = $1 and id = $2`,
        [job.tenant, job.id, outcome, duplicateOf],
      )
      if (outcome === 'unchanged') await noteGiven(transaction, job)
      await transaction.query(
        `delete from rag_sources s where tenant = $1 and id = $2 and exists (
         select 1 from rag_sources other where other.tenant = s.tenant and other.collection = s.collection and other.document = s.document
           and other.sha256 = s.sha256 and other.id <> s.id)`,
        [job.tenant, job.source],
      )
      if (outcome === 'duplicate') await clearMade(transaction, job)
    },
    { name: 'finish_without' },
  )
  return { outcome, contentType: null, chunks: 0, sizeBytes }
}
