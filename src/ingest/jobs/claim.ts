/**
 * Which job a free worker takes: the next one of the collection whose turn it is. First by priority, then the tenant with the fewest
 * jobs running, then the collection with the fewest, then the one that was served longest ago; so one upload of ten thousand files
 * holds up nobody. Two workers never take the same job (`for update skip locked`), nor two jobs of one document (a unique index).
 */
import { ConstraintError, type Database, type Transaction } from '../../store/database.ts'
import { type Job, jobColumns, jobOf } from '../job.ts'

export interface ClaimOptions {
  /** Unique to this claim over all processes: what is written for the job is written under this name. */
  readonly owner: string
  readonly leaseMs: number
  readonly attemptsMax: number
}

/** Collections looked at in one go. */
const lanesMax = 1_000
const lanesTried = 8

/**
 * The first waiting job of the next collection is one step in an index. On a table that has just been filled and has no statistics yet the
 * planner would rather sort all of them, for each collection again (400 ms where this takes 5).
 */
const planSql = `select set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)`

const isWaiting = `(state = 'queued' or state = 'paused')`
const isDue = `${isWaiting} and j.run_at <= now() and not exists (select 1 from rag_jobs r where r.state = 'running'
  and r.tenant = j.tenant and r.collection = j.collection and r.document = j.document)`

const anyWaitingSql = `select 1 from rag_jobs where ${isWaiting} and run_at <= now() limit 1`

const lanesSql = `
with recursive lane as (
  (select tenant, collection, 1 as place from rag_jobs where ${isWaiting} order by tenant, collection limit 1)
  union all
  select n.tenant, n.collection, lane.place + 1 from lane cross join lateral (
    select tenant, collection from rag_jobs j
    where ${isWaiting} and (j.tenant, j.collection) > (lane.tenant, lane.collection)
    order by j.tenant, j.collection limit 1) n
  where lane.place < ${lanesMax}
), busy as (select tenant, collection, count(*) as running from rag_jobs where state = 'running' group by tenant, collection)
select lane.tenant, lane.collection
from lane
cross join lateral (select j.priority from rag_jobs j where j.tenant = lane.tenant and j.collection = lane.collection and ${isDue}
  order by j.priority, j.created_at, j.id limit 1) due
left join busy on busy.tenant = lane.tenant and busy.collection = lane.collection
left join (select tenant, sum(running) as running from busy group by tenant) tenants on tenants.tenant = lane.tenant
left join rag_job_turns turn on turn.tenant = lane.tenant and turn.collection = lane.collection
order by due.priority, coalesce(tenants.running, 0), coalesce(busy.running, 0), turn.served_at nulls first
limit ${lanesTried}`

const takeSql = `
with next as (
  select j.tenant, j.id from rag_jobs j where j.tenant = $1 and j.collection = $2 and ${isDue}
  order by j.priority, j.created_at, j.id limit 1 for update skip locked)
update rag_jobs j set state = 'running', lease_owner = $3, lease_until = now() + make_interval(secs => $4 / 1000.0), heartbeat_at = now(),
  attempts = attempts + 1, started_at = coalesce(started_at, now()), stage_started_at = now(), error_code = null, error_message = null
from next where j.tenant = next.tenant and j.id = next.id
returning ${jobColumns
  .split(', ')
  .map((column) => `j.${column}`)
  .join(', ')}`

const turnSql = `insert into rag_job_turns (tenant, collection, served_at) values ($1, $2, clock_timestamp())
on conflict (tenant, collection) do update set served_at = excluded.served_at`

/** Takes a job, or null when none is due. */
export async function claimJob(database: Database, options: ClaimOptions): Promise<Job | null> {
  // Nearly every look of an idle gateway ends here, before the question that takes the embedded store long to plan.
  const waiting = await database.tx('system', ({ last }) => last(anyWaitingSql), { name: 'look_for_jobs', readOnly: true })
  if (waiting.rows.length === 0) return null
  try {
    return await database.tx('system', (transaction) => take(transaction, options), { name: 'claim_job' })
  } catch (error) {
    // Another worker took a job of the same document in the same moment: there may be more for the next call.
    if (error instanceof ConstraintError && error.constraint === 'rag_jobs_running') return null
    throw error
  }
}

async function take(transaction: Transaction, { owner, leaseMs }: ClaimOptions): Promise<Job | null> {
  const [, lanes] = await Promise.all([transaction.query(planSql), transaction.query(lanesSql)])
  for (const { tenant, collection } of lanes.rows) {
    const { rows } = await transaction.query(takeSql, [tenant, collection, owner, leaseMs])
    const [row] = rows
    if (row === undefined) continue
    await transaction.query(turnSql, [tenant, collection])
    return jobOf(row)
  }
  return null
}

/** Milliseconds until the first waiting job is due, 0 when it is; null when none waits. Looks at all that wait. */
export async function nextDueMs(database: Database): Promise<number | null> {
  const text = `select extract(epoch from min(run_at) - now())::float8 * 1000 as due_in_ms from rag_jobs where ${isWaiting}`
  const { rows } = await database.tx('system', ({ last }) => last(text), { name: 'next_due_job', readOnly: true })
  const dueInMs = rows[0]?.['due_in_ms']
  return typeof dueInMs === 'number' ? Math.max(dueInMs, 0) : null
}

/**
 * Frees jobs whose worker is gone. A job that was given up often enough is failed instead: it may be what kills its workers. Gives how many.
 */
export async function reclaimJobs(database: Database, attemptsMax: number): Promise<number> {
  const { rowCount } = await database.tx(
    'system',
    (transaction) =>
      transaction.query(
        `with lost as (select tenant, id from rag_jobs where state = 'running' and lease_until < now() limit 1000 for update skip locked)
       update rag_jobs j set
         state = case when j.attempts >= $1 then 'failed' else 'queued' end,
         finished_at = case when j.attempts >= $1 then now() end,
         error_code = 'worker_lost',
         error_message = 'the process that worked on it ended at stage ' || j.stage || ', attempt ' || j.attempts || ' of ' || $1::int,
         lease_owner = null, lease_until = null, run_at = now()
       from lost where j.tenant = lost.tenant and j.id = lost.id`,
        [attemptsMax],
      ),
    { name: 'reclaim_jobs' },
  )
  return rowCount
}
