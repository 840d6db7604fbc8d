/**
 * Stage index: one transaction makes the document visible, ends the job and clears what it made on the way. Until it commits, the
 * revision before is what is found.
 */
import type { Chunk, EmbeddedChunk } from '../core/corpus.ts'
import type { IngestDeps } from './job-deps.ts'
import type { Job } from './job.ts'
import type { Lease } from './jobs/lease.ts'
import { clearParts, clearVectors, type Prepared, readText, readVectors } from './jobs/parts.ts'
import type { Source } from './sources.ts'

/** The largest document must fit. */
const writeTimeoutMs = 600_000
const statementTimeoutMs = 120_000

export interface Ready {
  readonly job: Job
  readonly source: Source
  readonly prepared: Prepared
  readonly chunks: readonly Chunk[]
  readonly duplicateOf: string | null
}

/** Makes the document visible and the job done. */
export async function indexDocument(ready: Ready, lease: Lease, deps: IngestDeps): Promise<void> {
  const { job, source } = ready
  const { tenant, id } = job
  const read = await deps.database.tx(
    { tenant },
    async (transaction) => ({ text: await readText(transaction, job), vectors: await readVectors(transaction, job) }),
    { readOnly: true, statementTimeoutMs },
  )
  // No renewal meanwhile: it would wait for the row that this transaction holds. Holding it is what keeps others away, however long it
  // takes, and only while this process lives.
  await lease.stop()
  const limits = { statementTimeoutMs, transactionTimeoutMs: writeTimeoutMs }
  await lease.tx(async (transaction) => {
    await deps.writeDocument(transaction, writeOf(ready, read))
    await clearParts(transaction, job)
    await clearVectors(transaction, job)
    await transaction.query(
      'delete from rag_sources where tenant = $1 and collection = $2 and document = $3 and created_at < (select created_at from rag_sources where tenant = $1 and id = $4)',
      [tenant, job.collection, job.document, source.id],
    )
    await transaction.query(
      `update rag_jobs set state = 'done', outcome = 'written', duplicate_of = $3, lease_owner = null, lease_until = null, stage = 'index',
         counts = counts || jsonb_build_object('index', jsonb_build_object('done', 1, 'total', 1)), prepared = null,
         error_code = null, error_message = null, finished_at = now()
       where tenant = $1 and id = $2`,
      [tenant, id, ready.duplicateOf],
    )
  }, limits)
}

/** Makes the document found by its words while the embedder is missing; the job stays what it is. */
export async function indexWords(ready: Ready, lease: Lease, deps: IngestDeps): Promise<void> {
  const { tenant } = ready.job
  const text = await deps.database.tx({ tenant }, (transaction) => readText(transaction, ready.job), { readOnly: true })
  await lease.stop()
  const limits = { statementTimeoutMs, transactionTimeoutMs: writeTimeoutMs }
  await lease.tx((transaction) => deps.writeDocument(transaction, writeOf(ready, { text, vectors: new Map() })), limits)
}

function writeOf(
  { job, source, prepared, chunks }: Ready,
  { text, vectors }: { text: string; vectors: ReadonlyMap<string, Float32Array> },
) {
  const { model, digest } = prepared
  const embedded = chunks.map((chunk): EmbeddedChunk => ({ ...chunk, vector: vectors.get(chunk.hash) ?? null }))
  return {
    tenant: job.tenant,
    collection: job.collection,
    document: {
      id: job.document,
      title: prepared.title,
      uri: job.uri,
      metadata: job.metadata,
      contentType: prepared.contentType,
      contentHash: source.sha256,
      sizeBytes: source.sizeBytes,
      text,
      pages: prepared.pages,
      warnings: prepared.warnings,
    },
    chunks: embedded,
    embedding: model === null || digest === null || vectors.size === 0 ? null : { model, digest },
  }
}
