/** Answers that are about jobs: accepted, waited for, or followed as events. */
import type { Clock } from '../../base/clock.ts'
import { isFinished, type Job } from '../../ingest/job.ts'
import { failureOf, jobViews } from './job-view.ts'
import { keepAliveComment, keepAliveMs } from './keep-alive.ts'
import type { RagDeps } from './rag-deps.ts'
import { noStore, type RagContext } from './rag-route.ts'

/** Longer than this nobody waits: many clients give up on a head that has not come after minutes. */
const waitMsMax = 120_000

/** 202 with the jobs; with `?wait=true` 200 once they are over, the failure of a single one as its problem. */
export async function answerJobs(context: RagContext, deps: RagDeps, jobs: readonly Job[]): Promise<Response> {
  const waits = context.req.query('wait') === 'true'
  const ended = waits ? await untilEnded(context, deps, jobs) : jobs
  const [first] = ended
  if (waits && ended.length === 1 && first?.state === 'failed') throw failureOf(first)
  const isOver = waits && ended.every((job) => isFinished(job))
  const location = first === undefined ? {} : { location: `/rag/jobs/${first.id}` }
  return context.json({ jobs: await jobViews(deps.database, ended) }, isOver ? 200 : 202, { ...location, ...noStore })
}

async function untilEnded(context: RagContext, { clock, service }: RagDeps, jobs: readonly Job[]): Promise<Job[]> {
  const left = whenLeft(context)
  const timer = clock.after(waitMsMax, () => left.abort())
  try {
    return await Promise.all(
      jobs.map(async (given) => {
        let last = given
        for await (const job of service.ingest.watch(given, left.signal)) if (job !== null) last = job
        return last
      }),
    )
  } finally {
    timer.cancel()
  }
}

function whenLeft(context: RagContext): AbortController {
  const left = new AbortController()
  const { outgoing } = context.env
  if (outgoing.destroyed) left.abort()
  outgoing.on('close', () => left.abort())
  return left
}

/** The states of a job as events: `progress`, and `done` with the last one. */
export function followJob(context: RagContext, deps: RagDeps, job: Job): Response {
  const left = whenLeft(context)
  const states = deps.service.ingest.watch(job, left.signal)
  const beat = startBeat(deps.clock)
  // Nobody reads, nor cancels, the body of an answer to HEAD.
  left.signal.addEventListener('abort', () => beat.stop())
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      beat.onBeat = () => controller.enqueue(keepAliveComment)
      try {
        const { done, value } = await states.next()
        beat.onBeat = () => undefined
        if (done !== true && value !== null) {
          const [view] = await jobViews(deps.database, [value])
          controller.enqueue(Buffer.from(`event: ${isFinished(value) ? 'done' : 'progress'}\ndata: ${JSON.stringify(view)}\n\n`))
          return
        }
        beat.stop()
        controller.close()
      } catch (error) {
        beat.stop()
        throw error
      }
    },
    cancel() {
      beat.stop()
      left.abort()
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no', ...noStore } })
}

interface Beat {
  onBeat: () => void
  stop(): void
}

function startBeat(clock: Clock): Beat {
  const beat: Beat = {
    onBeat: () => undefined,
    stop: () => {
      beat.onBeat = () => undefined
      timer.cancel()
    },
  }
  const next = (): ReturnType<Clock['after']> =>
    clock.after(keepAliveMs, () => {
      beat.onBeat()
      timer = next()
    })
  let timer = next()
  return beat
}
