/** Jobs as they are read: one, or a page of them, newest first. */
import type { Database, Transaction } from '../../store/database.ts'
import { type Job, jobColumns, jobOf, type JobState } from '../job.ts'
import type { JobPlace } from './parts.ts'

const pageMax = 200

/** Null when there is none of this id. */
export function readJob(database: Database, { tenant, id }: JobPlace): Promise<Job | null> {
  return database.tx({ tenant }, (transaction) => selectJob(transaction, { tenant, id }), { name: 'read_job', readOnly: true })
}

export async function selectJob(transaction: Transaction, { tenant, id }: JobPlace): Promise<Job | null> {
  const { rows } = await transaction.query(`select ${jobColumns} from rag_jobs where tenant = $1 and id = $2`, [tenant, id])
  return rows[0] === undefined ? null : jobOf(rows[0])
}

export interface JobList {
  readonly tenant: string
  readonly collection?: string
  readonly document?: string
  readonly state?: JobState
  /** The last job of the page before. */
  readonly after?: { readonly createdAtMs: number; readonly id: string }
  readonly limit?: number
}

/** A page of jobs, newest first. */
export async function listJobs(database: Database, list: JobList): Promise<Job[]> {
  const { tenant, collection = null, document = null, state = null, after, limit = 50 } = list
  const text = `select ${jobColumns} from rag_jobs
    where tenant = $1 and ($2::text is null or collection = $2) and ($3::text is null or document = $3) and ($4::text is null or state = $4)
      and ($5::timestamptz is null or (date_trunc('milliseconds', created_at), id) < ($5, $6))
    order by date_trunc('milliseconds', created_at) desc, id desc limit $7`
  const before = after === undefined ? null : new Date(after.createdAtMs).toISOString()
  const values = [tenant, collection, document, state, before, after?.id ?? null, Math.min(Math.max(limit, 1), pageMax)]
  const { rows } = await database.tx({ tenant }, ({ last }) => last(text, values), { name: 'list_jobs', readOnly: true })
  return rows.map(jobOf)
}

/** How many jobs are in each state. */
export async function countJobs(
  database: Database,
  { tenant, collection }: { tenant: string; collection: string | null },
): Promise<Partial<Record<JobState, number>>> {
  const text =
    'select state, count(*)::int as jobs from rag_jobs where tenant = $1 and ($2::text is null or collection = $2) group by state'
  const { rows } = await database.tx({ tenant }, (transaction) => transaction.query(text, [tenant, collection]), {
    name: 'count_jobs',
    readOnly: true,
  })
  return Object.fromEntries(rows.map(({ state, jobs }) => [String(state), Number(jobs)]))
}

export interface JobsInState {
  readonly state: JobState
  readonly jobs: number
  /** Since the oldest of them was given. */
  readonly oldestAgeSeconds: number
}

const openStates: readonly JobState[] = ['queued', 'running', 'paused', 'failed']

/** Jobs of all tenants that are not over, or failed, by state; every state is there. */
export async function countJobsOfAll(database: Database): Promise<JobsInState[]> {
  const text = `select state, count(*)::int as jobs, extract(epoch from now() - min(created_at))::float8 as age
    from rag_jobs where state = any($1::text[]) group by state`
  const { rows } = await database.tx('system', (transaction) => transaction.query(text, [openStates]), {
    name: 'count_jobs_of_all',
    readOnly: true,
  })
  const counted = new Map(rows.map((row) => [String(row['state']), row]))
  return openStates.map((state) => {
    const row = counted.get(state)
    return { state, jobs: Number(row?.['jobs'] ?? 0), oldestAgeSeconds: Number(row?.['age'] ?? 0) }
  })
}
