/**
 * One attempt at a job, through all stages from wherever the last attempt ended. Throws what ended it; the job's row is settled by the
 * caller (`job-settle.ts`).
 */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'

import type { Chunk } from '../core/corpus.ts'
import { documentWithHash, storedDocument } from './documents-stored.ts'
import type { Transaction } from '../store/database.ts'
import type { DocumentPlace, IngestDeps, WrittenDocument } from './job-deps.ts'
import type { Job } from './job.ts'
import { wholeDocument } from './job-options.ts'
import type { Lease } from './jobs/lease.ts'
import { clearMade } from './jobs/job-control.ts'
import { type Prepared, preparedDocument, readChunks, readText } from './jobs/parts.ts'
import type { Source } from './sources.ts'
import { embedChunks, type EmbedContext, EmbedderMissing } from './stage-embed.ts'
import { indexDocument, indexWords } from './stage-index.ts'
import { ensureSource, prepare } from './stage-prepare.ts'

const preparedRow = z.object({ prepared: preparedDocument.nullable() })

/** Does the job, and gives what came of its document. Throws `LeaseLost` when it was taken away, `EmbedderMissing`, or what a stage throws. */
export async function runJob(lease: Lease, context: EmbedContext): Promise<WrittenDocument> {
  const { job } = lease
  const { deps, report, gates } = context
  const source = await ensureSource(job, lease, context)
  const earlier = await earlierPrepared(job, deps)
  const same = await whatIsThere(job, source, { deps, isBegun: earlier !== null })
  if (same.isUnchanged) return finishWithout(lease, 'unchanged', { duplicateOf: null, sizeBytes: source.sizeBytes })
  if (same.duplicateOf !== null && job.skipsDuplicates)
    return finishWithout(lease, 'duplicate', { duplicateOf: same.duplicateOf, sizeBytes: source.sizeBytes })
  const prepared = earlier ?? (await gates.extract.pass(lease.signal, () => prepare(job, lease, { source, deps, report })))
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

async function earlierPrepared({ tenant, id }: Job, { database }: IngestDeps): Promise<Prepared | null> {
  const text = 'select prepared from rag_jobs where tenant = $1 and id = $2'
  const { rows } = await database.tx({ tenant }, (transaction) => transaction.query(text, [tenant, id]), {
    name: 'earlier_prepared',
    readOnly: true,
  })
  return rows[0] === undefined ? null : preparedRow.parse(rows[0]).prepared
}

function chunksOf(job: Job, { database }: IngestDeps): Promise<Chunk[]> {
  const { tenant } = job
  return database.tx({ tenant }, async (transaction) => readChunks(transaction, job, await readText(transaction, job)), {
    name: 'chunks_of',
    readOnly: true,
    ...wholeDocument,
  })
}

/** Whether the document is there already just as this job would make it, or its bytes as another document. */
async function whatIsThere(
  job: Job,
  { sha256: contentHash }: Source,
  { deps, isBegun }: { deps: IngestDeps; isBegun: boolean },
): Promise<{ isUnchanged: boolean; duplicateOf: string | null }> {
  const { tenant, collection, document } = job
  const place = { tenant, collection, document }
  return deps.database.tx(
    { tenant },
    async (transaction) => {
      const duplicateOf = await documentWithHash(transaction, { ...place, contentHash })
      const stored = isBegun || job.kind === 'reingest' ? null : await storedDocument(transaction, place)
      const isSame =
        stored?.contentHash === contentHash &&
        (job.title === null || job.title === stored.title) &&
        job.uri === stored.uri &&
        isDeepStrictEqual(job.metadata, stored.metadata)
      // What is shown by its words only, because an embedder was missing, is not finished.
      const isUnchanged =
        isSame && ((await wasWritten(transaction, { ...place, contentHash })) || (await deps.heldVectors(transaction, place)) !== null)
      return { isUnchanged, duplicateOf }
    },
    { name: 'what_is_there', readOnly: true },
  )
}

async function wasWritten(
  transaction: Transaction,
  { tenant, collection, document, contentHash }: DocumentPlace & { readonly contentHash: string },
): Promise<boolean> {
  const text = `select 1 from rag_jobs where tenant = $1 and collection = $2 and document = $3 and content_hash = $4 and outcome = 'written' limit 1`
  const { rows } = await transaction.query(text, [tenant, collection, document, contentHash])
  return rows.length > 0
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
