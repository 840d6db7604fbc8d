/**
 * Stage index: one transaction makes the document visible, ends the job and clears what it made on the way. Until it commits, the
 * revision before is what is found.
 */
import type { Chunk, EmbeddedChunk } from '../core/corpus.ts'
import type { DocumentWrite, IngestDeps } from './job-deps.ts'
import type { Job } from './job.ts'
import { wholeDocument } from './job-options.ts'
import type { StageGates } from './jobs/gate.ts'
import type { Lease } from './jobs/lease.ts'
import { clearParts, clearVectors, type Prepared, readText, readVectors } from './jobs/parts.ts'
import type { Source } from './sources.ts'

interface IndexContext {
  readonly deps: IngestDeps
  readonly gates: Pick<StageGates, 'collections'>
}

export interface Ready {
  readonly job: Job
  readonly source: Source
  readonly prepared: Prepared
  readonly chunks: readonly Chunk[]
  readonly duplicateOf: string | null
}

/** Makes the document visible and the job done. */
export async function indexDocument(ready: Ready, lease: Lease, { deps, gates }: IndexContext): Promise<void> {
  const { job } = ready
  const { tenant } = job
  const read = await deps.database.tx(
    { tenant },
    async (transaction) => ({ text: await readText(transaction, job), vectors: await readVectors(transaction, job) }),
    { name: 'read_prepared', readOnly: true, ...wholeDocument },
  )
  const collection = `${tenant}\n${job.collection}`
  await gates.collections.take(collection, () => write(lease, { ready, read, deps }))
}

interface Read {
  readonly text: string
  readonly vectors: ReadonlyMap<string, Float32Array>
}

async function write(lease: Lease, { ready, read, deps }: { ready: Ready; read: Read; deps: IngestDeps }): Promise<void> {
  const { job, source } = ready
  const { tenant, id } = job
  // No renewal meanwhile: it would wait for the row that this transaction holds. Holding it is what keeps others away, however long it
  // takes, and only while this process lives.
  await lease.stop()
  await lease.tx(
    async (transaction) => {
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
    },
    { name: 'write_document', ...wholeDocument },
  )
}

/** Makes the document found by its words while the embedder is missing; the job stays what it is. */
export async function indexWords(ready: Ready, lease: Lease, { deps, gates }: IndexContext): Promise<void> {
  const { tenant } = ready.job
  const text = await deps.database.tx({ tenant }, (transaction) => readText(transaction, ready.job), {
    name: 'read_prepared',
    readOnly: true,
    ...wholeDocument,
  })
  await gates.collections.take(`${tenant}\n${ready.job.collection}`, async () => {
    await lease.stop()
    await lease.tx((transaction) => deps.writeDocument(transaction, writeOf(ready, { text, vectors: new Map() })), {
      name: 'write_document_words',
      ...wholeDocument,
    })
  })
}

function writeOf({ job, source, prepared, chunks }: Ready, { text, vectors }: Read): DocumentWrite {
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
