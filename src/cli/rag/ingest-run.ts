/**
 * One ingest from beginning to end: documents are given a few at a time, never many more than the gateway works on, while the jobs of those
 * given are followed. Ends when all are over, when nothing can move any more, or with the signal.
 */
import type { Clock } from '../../base/clock.ts'
import { CliError } from '../exit-code.ts'
import { type Gateway, GatewayError } from '../gateway.ts'
import { lookUpJobs } from './ingest-follow.ts'
import type { IngestProgress } from './ingest-progress.ts'
import type { GivenSource } from './ingest-sources.ts'
import type { Tally } from './ingest-tally.ts'
import { pause, uploadSource } from './ingest-upload.ts'
import { askRag, jobView, type JobView } from './rag-api.ts'

const uploadsAtOnce = 4
/** Jobs that are not over, at most: the rest of a large folder waits here, where it can still be left. */
const openJobsMax = 200
const pollMs = 300
const cancelsAtOnce = 8
const cancelMsMax = 5_000

export interface IngestRun {
  readonly gateway: Gateway
  readonly clock: Clock
  readonly collection: string
  readonly sources: readonly GivenSource[]
  readonly tally: Tally
  readonly progress: IngestProgress
  readonly signal: AbortSignal
  /** Until all are searchable; else only until all are given. */
  readonly waits: boolean
  /** Hears of each job when it is made and when it is over. */
  readonly onJob: (document: string, job: JobView) => void
}

/** Why it ended before all were over: the reason for which every job that is left waits. */
export interface Stuck {
  readonly code: string
  readonly message: string
}

/** Resolves with null when all are over. Rejects with exit code 3 when the gateway goes away. */
export async function runIngest(run: IngestRun): Promise<Stuck | null> {
  const failing = new AbortController()
  const signal = AbortSignal.any([run.signal, failing.signal])
  const begun = { ...run, signal }
  let isGiving = true
  const giving = giveAll(begun).finally(() => {
    isGiving = false
  })
  const following = follow(begun, () => isGiving)
  try {
    const [, stuck] = await Promise.all([giving, following])
    return stuck
  } catch (error) {
    failing.abort(error)
    await Promise.allSettled([giving, following])
    throw error
  }
}

async function giveAll(run: IngestRun): Promise<void> {
  const waiting = run.sources.values()
  await Promise.all(Array.from({ length: uploadsAtOnce }, () => giveSome(waiting, run)))
}

async function giveSome(waiting: Iterator<GivenSource>, run: IngestRun): Promise<void> {
  const { signal, waits } = run
  for (let next = waiting.next(); next.done !== true; next = waiting.next()) {
    if (waits) await untilRoom(run)
    signal.throwIfAborted()
    await give(next.value, run)
  }
}

async function untilRoom({ tally, clock, signal }: IngestRun): Promise<void> {
  while (tally.openJobs.length >= openJobsMax) await pause(pollMs, { clock, signal })
}

async function give(source: GivenSource, run: IngestRun): Promise<void> {
  const { gateway, clock, signal, collection, tally, progress, onJob } = run
  const { document } = source
  try {
    const job = await uploadSource(collection, source, {
      gateway,
      clock,
      signal,
      onSent: (sentBytes) => tally.sent(document, sentBytes),
      onWait: (reason) => progress.waiting(reason),
    })
    tally.heard(document, job)
    onJob(document, job)
  } catch (error) {
    if (signal.aborted || endsAll(error)) throw error
    tally.failed(document, { code: codeOf(error), message: error instanceof Error ? error.message : String(error) })
  }
  progress.show(tally)
}

/** What one document is refused for says nothing about the others; a credential, a collection or a gateway that is gone does. */
function endsAll(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return error instanceof CliError
  return error.status === 401 || error.status === 403 || error.code === 'collection_not_found' || error.status >= 500
}

function codeOf(error: unknown): string {
  if (error instanceof GatewayError) return error.code ?? String(error.status)
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
}

async function follow(run: IngestRun, isGiving: () => boolean): Promise<Stuck | null> {
  const { gateway, clock, signal, collection, tally, progress, waits, onJob } = run
  for (;;) {
    // Read before asking: what was given meanwhile is asked for in the next round.
    const wasGiving = isGiving()
    const open = tally.openJobs
    const jobs =
      waits && open.length > 0
        ? await lookUpJobs(
            gateway,
            collection,
            open.map(({ id }) => id),
          )
        : []
    for (const job of jobs) if (tally.heard(job.document, job)) onJob(job.document, job)
    progress.show(tally)
    if (!wasGiving && (!waits || tally.openJobs.length === 0)) return null
    const stuck = wasGiving ? null : stuckOn(tally.openJobs)
    if (stuck !== null) return stuck
    await pause(pollMs, { clock, signal })
  }
}

/** All that is left was set aside: by the gateway, which tells why, or by somebody. */
function stuckOn(open: readonly JobView[]): Stuck | null {
  const [first] = open
  if (first === undefined || open.some(({ state }) => state !== 'paused')) return null
  return first.error ?? { code: 'paused', message: 'they were paused' }
}

/** Cancels the jobs that are not over, as far as that is done in a few seconds. */
export async function cancelOpen({ gateway, tally, clock }: Pick<IngestRun, 'gateway' | 'tally' | 'clock'>): Promise<void> {
  const waiting = tally.openJobs.values()
  const cancelSome = async (): Promise<void> => {
    for (const { id, document } of waiting) {
      try {
        tally.heard(document, await askRag(gateway, jobView, ['POST', `/rag/jobs/${encodeURIComponent(id)}/cancel`]))
      } catch (error) {
        // It was over, or goes on without us: either is told by the counts.
        if (!(error instanceof GatewayError)) return
      }
    }
  }
  const all = Promise.all(Array.from({ length: cancelsAtOnce }, cancelSome))
  await Promise.race([all, clock.sleep(cancelMsMax)])
}
