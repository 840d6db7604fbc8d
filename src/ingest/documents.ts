/**
 * Documents as they are given: each makes a job, and what it replaces stays visible until the job is done. A newer job of a document ends
 * the older ones that have not begun.
 */
import { createHash, randomUUID } from 'node:crypto'

import type { Metadata } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import { ConstraintError, type Database, type Transaction } from '../store/database.ts'
import type { DocumentPlace } from './job-deps.ts'
import { type Job, jobColumns, jobOf } from './job.ts'
import { wholeDocument } from './job-options.ts'
import { clearMade } from './jobs/job-control.ts'
import { deleteSource, type Source } from './sources.ts'

export interface GivenDocument extends DocumentPlace {
  readonly kind: 'upload' | 'url'
  /** Of the file; the title when the document has none. */
  readonly name: string
  readonly title: string | null
  readonly uri: string | null
  readonly metadata: Metadata
  /** 0 for what somebody waits for, more for work in bulk. */
  readonly priority: number
  readonly isSearchableWithoutVectors: boolean
  readonly skipsDuplicates: boolean
  readonly idempotencyKey: string | null
  /** Null: fetched from `uri` by the job. */
  readonly source: Pick<Source, 'id' | 'sha256' | 'sizeBytes'> | null
  /** Why it may not take the place of the document that has its id: its job is made as one that failed (`conflict`), to be retried or not. */
  readonly refusal?: string
}

export interface Submitted {
  readonly job: Job
  /** False: the idempotency key was used before, for the same; this is the job it made. */
  readonly isNew: boolean
}

/** Jobs of one tenant that are not finished; those that make a document again do not count, since `reingest.ts` bounds them. */
export const openJobsMax = 200_000

/**
 * Makes a job of a document. Throws `conflict` when the idempotency key was used for something else or the collection is gone, `queue_full`
 * when too many jobs are open.
 */
export async function submitDocument(database: Database, given: GivenDocument): Promise<Submitted> {
  try {
    return await database.tx({ tenant: given.tenant }, (transaction) => submit(transaction, given), {
      name: 'submit_document',
      ...wholeDocument,
    })
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    // Two calls with one key in the same moment: the second finds the job of the first.
    if (error.constraint === 'rag_jobs_key')
      return database.tx({ tenant: given.tenant }, (transaction) => submit(transaction, given), {
        name: 'submit_document',
        ...wholeDocument,
      })
    throw asRemoved(error)
  }
}

/** What a job that has no collection any more is to its caller: removed while the job was made. Any other failure stays what it is. */
export function asRemoved(error: unknown): unknown {
  const isRemoved = error instanceof ConstraintError && error.kind === 'foreign_key'
  return isRemoved ? new CorralError('conflict', 'the collection was removed', { cause: error }) : error
}

async function submit(transaction: Transaction, given: GivenDocument): Promise<Submitted> {
  const fingerprint = fingerprintOf(given)
  const earlier = await jobOfKey(transaction, given, fingerprint)
  if (earlier !== null) {
    if (given.source !== null && given.source.id !== earlier.source)
      await deleteSource(transaction, { tenant: given.tenant, id: given.source.id })
    return { job: earlier, isNew: false }
  }
  if (given.refusal === undefined) await supersede(transaction, given)
  const job = await insertJob(transaction, given, fingerprint)
  await checkRoom(transaction, given.tenant)
  return { job, isNew: true }
}

/** Throws `queue_full` when more jobs are open than may be, those of this transaction included. */
async function checkRoom(transaction: Transaction, tenant: string): Promise<void> {
  const { rows } = await transaction.query(
    `select count(*)::int as open from (
       select 1 from rag_jobs where tenant = $1 and (state = 'queued' or state = 'paused') and kind <> 'reingest' limit ${openJobsMax + 1}) o`,
    [tenant],
  )
  if (Number(rows[0]?.['open']) > openJobsMax) throw new CorralError('queue_full', `${openJobsMax} documents wait to be ingested`)
}

function fingerprintOf({ collection, document, kind, title, uri, metadata, source }: GivenDocument): string {
  return createHash('sha256')
    .update(JSON.stringify([collection, document, kind, title, uri, metadata, source?.sha256 ?? null]))
    .digest('hex')
}

async function jobOfKey(
  transaction: Transaction,
  { tenant, collection, idempotencyKey }: GivenDocument,
  fingerprint: string,
): Promise<Job | null> {
  if (idempotencyKey === null) return null
  const text = `select ${jobColumns}, fingerprint from rag_jobs where tenant = $1 and collection = $2 and idempotency_key = $3`
  const { rows } = await transaction.query(text, [tenant, collection, idempotencyKey])
  const [row] = rows
  if (row === undefined) return null
  if (row['fingerprint'] === fingerprint) return jobOf(row)
  throw new CorralError('conflict', `the idempotency key was used for another document or other contents (job ${String(row['id'])})`)
}

/** What becomes of a job whose document has a newer one. */
export const superseded = `state = 'cancelled', finished_at = now(), run_at = null, prepared = null, error_code = 'superseded',
    error_message = 'a newer job of the same document took its place'`

/** Of jobs of a collection that have not begun or have failed. */
export const supersedeSql = `update rag_jobs set ${superseded}
  where tenant = $1 and collection = $2 and state in ('queued', 'paused', 'failed')`

/** Ends jobs of the same document that have not begun or have failed: done later, they would put back what this one replaces. */
async function supersede(transaction: Transaction, { tenant, collection, document, source }: GivenDocument): Promise<void> {
  const { rows } = await transaction.query(`${supersedeSql} and document = $3 returning ${jobColumns}`, [tenant, collection, document])
  for (const job of rows.map(jobOf)) await clearMade(transaction, job.source === source?.id ? { ...job, source: null } : job)
}

async function insertJob(transaction: Transaction, given: GivenDocument, fingerprint: string): Promise<Job> {
  const { source, refusal = null } = given
  const uploaded = source === null ? {} : { upload: { done: source.sizeBytes, total: source.sizeBytes } }
  const { rows } = await transaction.query(
    `insert into rag_jobs (tenant, id, collection, document, kind, state, stage, counts, priority, source, name, title, uri, metadata,
       is_searchable_without_vectors, skips_duplicates, content_hash, idempotency_key, fingerprint, error_code, error_message, finished_at)
     values ($1, $2, $3, $4, $5, $19, $6, $7::jsonb, $8, $9, $10, $11, $12, $13::jsonb, $14, $15, $16, $17, $18, $20, $21, case when $19 = 'failed' then now() end)
     returning ${jobColumns}`,
    [
      given.tenant,
      randomUUID(),
      given.collection,
      given.document,
      given.kind,
      source === null ? 'upload' : 'extract',
      JSON.stringify(uploaded),
      given.priority,
      source?.id ?? null,
      given.name,
      given.title,
      given.uri,
      JSON.stringify(given.metadata),
      given.isSearchableWithoutVectors,
      given.skipsDuplicates,
      source?.sha256 ?? null,
      given.idempotencyKey,
      fingerprint,
      refusal === null ? 'queued' : 'failed',
      refusal === null ? null : 'conflict',
      refusal,
    ],
  )
  return jobOf(rows[0] ?? {})
}
