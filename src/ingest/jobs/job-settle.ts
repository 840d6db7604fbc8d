/**
 * How an attempt at a job ends that did not reach the end: what may pass by itself is tried again later and later, what cannot is failed
 * at once with its reason, and a missing embedder makes the job wait without using up its attempts.
 */
import { CorralError, toCorralError } from '../../core/errors.ts'
import type { AttemptResult, IngestDeps } from '../job-deps.ts'
import type { Transaction } from '../../store/database.ts'
import { superseded } from '../documents.ts'
import type { Job } from '../job.ts'
import { EmbedderMissing } from '../stage-embed.ts'
import { clearMade } from './job-control.ts'
import { type Lease, LeaseLost } from './lease.ts'

interface Verdict {
  readonly state: 'queued' | 'paused' | 'failed'
  readonly code: string
  readonly message: string
  /** Until the next attempt; null: none. */
  readonly delayMs: number | null
  readonly usesAttempt: boolean
}

/** Errors of the store that say something about the store, not about the document. */
const storeCodes: ReadonlySet<string> = new Set(['store_unavailable', 'store_timeout', 'store_full'])

/** Waits for the store, or for others who write to the same collection, that use up no attempt: about half an hour of them. */
const storeWaitsMax = 30

/**
 * Notes how the attempt failed, and gives that; null when the job was taken away, or a newer one of the document took its place meanwhile.
 * Never rejects: what cannot be noted now is found when the lease runs out.
 */
export async function settleFailure(lease: Lease, error: unknown, deps: IngestDeps): Promise<AttemptResult | null> {
  if (error instanceof LeaseLost || lease.signal.aborted) return null
  const verdict = verdictOn(lease.job, error, deps)
  if (verdict.code === 'internal' || storeCodes.has(verdict.code)) deps.onTrouble(error)
  try {
    const isSuperseded = await lease.tx((transaction) => settle(transaction, lease.job, verdict), { name: 'settle_failure' })
    return isSuperseded ? null : verdict
  } catch (failure) {
    if (!(failure instanceof LeaseLost)) deps.onTrouble(failure)
    return verdict
  }
}

/** Whether it ended because of a newer job: done later, it would put back what that one replaces. */
async function settle(transaction: Transaction, job: Job, verdict: Verdict): Promise<boolean> {
  const { rowCount } = await transaction.query(supersededSql, [job.tenant, job.id])
  if (rowCount > 0) {
    await clearMade(transaction, job)
    return true
  }
  await transaction.query(
    `update rag_jobs set state = $3, error_code = $4, error_message = $5, lease_owner = null, lease_until = null,
     run_at = case when $6::float8 is null then null else now() + make_interval(secs => $6 / 1000.0) end,
     finished_at = case when $3 = 'failed' then now() end,
     attempts = case when $7 then attempts else attempts - 1 end, waits = case when $7 then waits else waits + 1 end
   where tenant = $1 and id = $2`,
    [job.tenant, job.id, verdict.state, verdict.code, verdict.message, verdict.delayMs, verdict.usesAttempt],
  )
  return false
}

/** A document made again is never newer than bytes that were given, only than the like of it. */
const supersededSql = `update rag_jobs j set ${superseded}, lease_owner = null, lease_until = null
  where j.tenant = $1 and j.id = $2 and exists (select 1 from rag_jobs n
    where n.tenant = j.tenant and n.collection = j.collection and n.document = j.document and (n.created_at, n.id) > (j.created_at, j.id)
      and n.state in ('queued', 'running', 'paused', 'done') and (n.kind <> 'reingest' or j.kind = 'reingest'))`

function verdictOn(job: Job, error: unknown, { options, random }: IngestDeps): Verdict {
  const { attemptsMax, waitsMax, retryDelayMs, retryDelayMsMax } = options()
  const delayAfter = (tries: number): number => Math.min(retryDelayMsMax, retryDelayMs * 2 ** Math.min(tries, 20)) * (0.75 + random() / 2)
  if (error instanceof EmbedderMissing) {
    const { code, message, retryAfterMs } = error.failure
    const delayMs = Math.max(retryAfterMs ?? 0, delayAfter(job.waits))
    const state = job.waits >= waitsMax ? 'paused' : 'queued'
    return { state, code, message: `waits for the embedder: ${message}`, delayMs, usesAttempt: false }
  }
  const { code, message, retryable } = toCorralError(error)
  if (storeCodes.has(code) && job.waits < storeWaitsMax)
    return { state: 'queued', code, message, delayMs: delayAfter(job.waits), usesAttempt: false }
  const isBug = !(error instanceof CorralError)
  const mayPass = (retryable || isBug) && job.attempts < attemptsMax
  if (mayPass)
    return {
      state: 'queued',
      code,
      message: `attempt ${job.attempts} of ${attemptsMax}: ${message}`,
      delayMs: delayAfter(job.attempts - 1),
      usesAttempt: true,
    }
  return {
    state: 'failed',
    code,
    message: retryable || isBug ? `gave up after ${job.attempts} attempts: ${message}` : message,
    delayMs: null,
    usesAttempt: true,
  }
}

/** Gives a job back untouched, so that another process goes on with it at once. */
export async function releaseJob(job: Job, { database, onTrouble }: IngestDeps): Promise<void> {
  const text = `update rag_jobs set state = 'queued', lease_owner = null, lease_until = null, run_at = now(), attempts = attempts - 1
    where tenant = $1 and id = $2 and lease_owner = $3 and state = 'running'`
  try {
    await database.tx({ tenant: job.tenant }, (transaction) => transaction.query(text, [job.tenant, job.id, job.leaseOwner]), {
      name: 'release_job',
    })
  } catch (error) {
    onTrouble(error)
  }
}
