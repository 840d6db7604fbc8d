/**
 * What an owner may do to a job. Each is one transaction; a worker that has the job finds its lease gone with the next thing it writes, and
 * one in this process is interrupted at once by the caller.
 */
import type { Database, Transaction } from '../../store/database.ts'
import { type Job, jobColumns, jobOf } from '../job.ts'
import { wholeDocument } from '../job-options.ts'
import { selectJob } from './job-rows.ts'
import { clearParts, clearVectors, type JobPlace } from './parts.ts'

/** The job after the change, or as it is when its state does not allow it; null when there is none. */
export interface ControlVerdict {
  readonly job: Job
  readonly isChanged: boolean
}

function change(
  database: Database,
  place: JobPlace,
  work: (transaction: Transaction) => Promise<Job | null>,
): Promise<ControlVerdict | null> {
  return database.tx(
    { tenant: place.tenant },
    async (transaction) => {
      const changed = await work(transaction)
      if (changed !== null) return { job: changed, isChanged: true }
      const job = await selectJob(transaction, place)
      return job === null ? null : { job, isChanged: false }
    },
    { name: 'change_job', ...wholeDocument },
  )
}

async function update(transaction: Transaction, { tenant, id }: JobPlace, sql: string): Promise<Job | null> {
  const { rows } = await transaction.query(`update rag_jobs set ${sql} returning ${jobColumns}`, [tenant, id])
  return rows[0] === undefined ? null : jobOf(rows[0])
}

/** Stops a job until it is resumed; what it has made stays. */
export function pauseJob(database: Database, place: JobPlace): Promise<ControlVerdict | null> {
  const sql = `state = 'paused', run_at = null, lease_owner = null, lease_until = null, error_code = null, error_message = null
    where tenant = $1 and id = $2 and (state in ('queued', 'running') or (state = 'paused' and run_at is not null))`
  return change(database, place, (transaction) => update(transaction, place, sql))
}

/** Lets a paused job go on where it stopped. */
export function resumeJob(database: Database, place: JobPlace): Promise<ControlVerdict | null> {
  const sql = `state = 'queued', run_at = now(), waits = 0, attempts = 0 where tenant = $1 and id = $2 and state = 'paused'`
  return change(database, place, (transaction) => update(transaction, place, sql))
}

/** Ends a job for good and removes what it has made; the visible document stays as it was. */
export function cancelJob(database: Database, place: JobPlace): Promise<ControlVerdict | null> {
  const sql = `state = 'cancelled', finished_at = now(), lease_owner = null, lease_until = null, run_at = null, prepared = null
    where tenant = $1 and id = $2 and state in ('queued', 'running', 'paused', 'failed')`
  return change(database, place, async (transaction) => {
    const job = await update(transaction, place, sql)
    if (job !== null) await clearMade(transaction, job)
    return job
  })
}

/** Tries a failed job again; stages that were done are not repeated. */
export function retryJob(database: Database, place: JobPlace): Promise<ControlVerdict | null> {
  const sql = `${retried} where tenant = $1 and id = $2 and state = 'failed'`
  return change(database, place, (transaction) => update(transaction, place, sql))
}

const retried = `state = 'queued', run_at = now(), attempts = 0, waits = 0, finished_at = null, error_code = null, error_message = null`

/** Tries all failed jobs of a collection again; gives how many. */
export async function retryFailedJobs(database: Database, { tenant, collection }: { tenant: string; collection: string }): Promise<number> {
  const text = `update rag_jobs set ${retried} where tenant = $1 and collection = $2 and state = 'failed'`
  const { rowCount } = await database.tx({ tenant }, (transaction) => transaction.query(text, [tenant, collection]), {
    name: 'retry_failed_jobs',
  })
  return rowCount
}

/** Removes parts, vectors, and the bytes, unless the visible document was made of them. */
export async function clearMade(transaction: Transaction, job: Job): Promise<void> {
  await clearParts(transaction, job)
  await clearVectors(transaction, job)
  if (job.source === null) return
  await transaction.query(
    `delete from rag_sources s where s.tenant = $1 and s.id = $2 and not exists (
       select 1 from rag_documents d where d.tenant = s.tenant and d.collection = s.collection and d.id = s.document and d.content_hash = s.sha256)`,
    [job.tenant, job.source],
  )
}
