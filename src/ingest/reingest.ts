/**
 * Documents made again from the bytes they were made of, by what their collection is set to now: another embedder or another build of it,
 * other chunks, another language. A job reads what is visible when it begins, so it takes back nothing that was given meanwhile; of jobs
 * that make the same document again only the newest is left. So they are no more than there are documents, and no limit holds them back.
 */
import { z } from 'zod'

import type { Database, Transaction } from '../store/database.ts'
import { asRemoved, supersedeSql } from './documents.ts'
import type { Job } from './job.ts'
import type { DocumentPlace } from './job-deps.ts'
import { wholeDocument } from './job-options.ts'
import { selectJob } from './jobs/job-rows.ts'

/** For work that nobody waits for. */
const bulkPriority = 1

/** One document, or with null as its id all of the collection. */
const isMeant = (column: string): string => `($3::text is null or ${column} = $3)`

const supersedeOlderSql = `with older as (${supersedeSql} and kind = 'reingest' and ${isMeant('document')} returning id),
  parts as (delete from rag_job_parts p using older where p.tenant = $1 and p.job = older.id)
  delete from rag_job_vectors v using older where v.tenant = $1 and v.job = older.id`

const insertSql = `with visible as (
  select d.id, d.title, d.uri, d.metadata, s.name, s.size_bytes from rag_documents d
    cross join lateral (
      select name, size_bytes from rag_sources s
      where s.tenant = d.tenant and s.collection = d.collection and s.document = d.id and s.sha256 = d.content_hash
      order by created_at desc, id limit 1) s
    where d.tenant = $1 and d.collection = $2 and ${isMeant('d.id')}),
  made as (
  insert into rag_jobs (tenant, id, collection, document, kind, state, stage, counts, priority, name, title, uri, metadata,
      is_searchable_without_vectors, skips_duplicates)
    select $1, gen_random_uuid()::text, $2, id, 'reingest', 'queued', 'extract',
      jsonb_build_object('upload', jsonb_build_object('done', size_bytes, 'total', size_bytes)), ${bulkPriority}, name, title, uri, metadata, false, false
    from visible returning id)
  select count(*)::int as jobs, min(id) as first from made`

const madeRow = z.object({ jobs: z.number(), first: z.string().nullable() })

/** Makes a job of a document; null when its bytes are not kept. Throws `conflict` when its collection is removed meanwhile. */
export function reingestDocument(database: Database, { tenant, collection, document }: DocumentPlace): Promise<Job | null> {
  return inTransaction(database, tenant, async (transaction) => {
    const { first } = await reingest(transaction, [tenant, collection, document])
    return first === null ? null : selectJob(transaction, { tenant, id: first })
  })
}

/** Makes a job of each document of a collection whose bytes are kept; gives how many. Throws `conflict` when it is removed meanwhile. */
export function reingestCollection(database: Database, { tenant, collection }: Omit<DocumentPlace, 'document'>): Promise<number> {
  return inTransaction(database, tenant, async (transaction) => (await reingest(transaction, [tenant, collection, null])).jobs)
}

async function inTransaction<T>(database: Database, tenant: string, work: (transaction: Transaction) => Promise<T>): Promise<T> {
  try {
    return await database.tx({ tenant }, work, { name: 'reingest_documents', ...wholeDocument })
  } catch (error) {
    throw asRemoved(error)
  }
}

async function reingest(transaction: Transaction, place: readonly [string, string, string | null]): Promise<z.infer<typeof madeRow>> {
  await transaction.query(supersedeOlderSql, place)
  const { rows } = await transaction.query(insertSql, place)
  return madeRow.parse(rows[0])
}
