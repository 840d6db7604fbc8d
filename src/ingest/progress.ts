/**
 * How far a job is, for its worker to say and for others to hear: counts per stage in the job's row, told at once inside this process and
 * found by polling where the job runs in another. A listener hears the newest state, not every step, and always the last.
 */
import type { Clock } from '../base/clock.ts'
import type { Database } from '../store/database.ts'
import { isFinished, type Job, type Stage, stages } from './job.ts'
import { readJob } from './jobs/job-rows.ts'
import type { JobPlace } from './jobs/parts.ts'
import type { Lease } from './jobs/lease.ts'

export interface StageReport {
  readonly stage: Stage
  readonly done: number
  readonly total: number
}

/** Resolves when the progress is told; writes to the store only as often as people look. */
export type Report = (report: StageReport) => Promise<void>

const writeEveryMs = 250
const rateAfterMs = 200
const listenersMax = 10_000

/** Who listens to which job, in this process. */
export class JobEvents {
  readonly #listeners = new Map<string, Set<() => void>>()
  #count = 0

  /** Says that something about a job changed. */
  emit({ tenant, id }: JobPlace): void {
    for (const listener of this.#listeners.get(keyOf(tenant, id)) ?? []) listener()
  }

  /** Calls `listener` on every change until the returned function is called; over the limit of listeners nothing is told, and polling has to do. */
  on({ tenant, id }: JobPlace, listener: () => void): () => void {
    if (this.#count >= listenersMax) return () => {}
    const key = keyOf(tenant, id)
    const listeners = this.#listeners.get(key) ?? new Set()
    listeners.add(listener)
    this.#listeners.set(key, listeners)
    this.#count += 1
    return () => {
      if (!listeners.delete(listener)) return
      this.#count -= 1
      if (listeners.size === 0) this.#listeners.delete(key)
    }
  }
}

function keyOf(tenant: string, id: string): string {
  return `${tenant}\n${id}`
}

const progressSql = `update rag_jobs set stage = $3, counts = counts || $4::jsonb,
  stage_started_at = case when stage = $3 then stage_started_at else now() end,
  waits = case when $5 then 0 else waits end
where tenant = $1 and id = $2`

interface ReporterDeps {
  readonly clock: Clock
  readonly events: JobEvents
  /** Hears of each stage that was passed. */
  readonly onStage: (stage: Stage, tookMs: number) => void
}

/** The reporter of one attempt at a job, and what ends its last stage. */
export function reporter(lease: Lease, { clock, events, onStage }: ReporterDeps): { readonly report: Report; readonly end: () => void } {
  const { tenant, id } = lease.job
  let stage: Stage | null = null
  let begin = { atMs: 0, done: 0 }
  let writtenMs = 0
  const end = (): void => {
    if (stage !== null) onStage(stage, clock.nowMs() - begin.atMs)
  }
  const tell: Report = async (report) => {
    const nowMs = clock.nowMs()
    const isBegin = report.stage !== stage
    if (isBegin) end()
    if (isBegin) begin = { atMs: nowMs, done: report.done }
    stage = report.stage
    const isEnd = report.done === report.total
    if (!isBegin && !isEnd && nowMs - writtenMs < writeEveryMs) return
    writtenMs = nowMs
    const elapsedMs = nowMs - begin.atMs
    const ratePerSecond = elapsedMs < rateAfterMs ? null : ((report.done - begin.done) * 1_000) / elapsedMs
    const counts = JSON.stringify({ [report.stage]: { done: report.done, total: report.total, ratePerSecond } })
    const hasEmbedded = report.stage === 'embed' && report.done > begin.done
    await lease.tx((transaction) => transaction.query(progressSql, [tenant, id, report.stage, counts, hasEmbedded]), {
      name: 'report_progress',
    })
    events.emit({ tenant, id })
  }
  return { report: tell, end }
}

export interface StageView {
  readonly stage: Stage
  readonly done: number
  readonly total: number
  readonly ratePerSecond: number | null
  /** Until this stage is done at the present rate; null when nobody can say. */
  readonly etaMs: number | null
}

/** The stages of a job as people see them, in their order. */
export function stageViews(job: Job): readonly StageView[] {
  return stages.map((stage) => {
    const { done, total, ratePerSecond } = job.counts[stage] ?? { done: 0, total: 0, ratePerSecond: null }
    const isGoing = job.state === 'running' && job.stage === stage && ratePerSecond !== null && ratePerSecond > 0
    return { stage, done, total, ratePerSecond, etaMs: isGoing ? Math.round(((total - done) * 1_000) / ratePerSecond) : null }
  })
}

export interface WatchDeps {
  readonly database: Database
  readonly clock: Clock
  readonly events: JobEvents
  readonly pollMs: number
}

/** A job's states from now on, ending with the one in which it is finished, with null when it is deleted, or when `signal` aborts. */
export async function* watchJob(deps: WatchDeps, place: JobPlace, signal: AbortSignal): AsyncGenerator<Job | null> {
  let wake = (): void => {}
  let isNews = false
  const off = deps.events.on(place, () => {
    isNews = true
    wake()
  })
  const onAbort = (): void => wake()
  signal.addEventListener('abort', onAbort)
  try {
    let last = ''
    while (!signal.aborted) {
      isNews = false
      const job = await readJob(deps.database, place)
      const state = JSON.stringify(job === null ? null : { ...job, heartbeatAtMs: null })
      if (state !== last) yield job
      last = state
      if (job === null || isFinished(job)) return
      if (isNews || signal.aborted) continue
      await new Promise<void>((resolve) => {
        const timer = deps.clock.after(deps.pollMs, resolve)
        wake = () => {
          timer.cancel()
          resolve()
        }
      })
    }
  } finally {
    off()
    signal.removeEventListener('abort', onAbort)
  }
}
