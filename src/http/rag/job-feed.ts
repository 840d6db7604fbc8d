/**
 * Jobs as events: `jobs` with the page that was asked for, at once and whenever it has changed. After a minute the stream is over, and the
 * browser asks for the next with a credential that is judged anew.
 */
import type { Timer } from '../../base/clock.ts'
import type { RagDeps } from './rag-deps.ts'
import { noStore, type RagContext } from './rag-route.ts'

const lifeMs = 60_000
/** From the end of one stream to the request for the next. */
const againMs = 250

export interface JobsRead {
  /** What is sent. */
  readonly page: object
  /** Whether something will change by itself. */
  readonly isMoving: boolean
}

/** How often the store is asked while something moves, and else. */
const everyMs = { moving: 1_000, resting: 3_000 } as const

/** `read` gives the present page; a failure after the first ends the stream. */
export async function followJobs({ env: { outgoing } }: RagContext, { clock }: RagDeps, read: () => Promise<JobsRead>): Promise<Response> {
  const overAtMs = clock.nowMs() + lifeMs
  const first = await read()
  let sent = ''
  let timer: Timer | null = null
  const leave = (): void => timer?.cancel()
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const show = ({ page, isMoving }: JobsRead): void => {
        const text = JSON.stringify(page)
        if (text !== sent) controller.enqueue(Buffer.from(`event: jobs\ndata: ${text}\n\n`))
        sent = text
        timer = clock.after(isMoving ? everyMs.moving : everyMs.resting, look)
      }
      const look = (): void => {
        if (outgoing.destroyed) return
        if (clock.nowMs() >= overAtMs) controller.close()
        else read().then(show, (error: unknown) => controller.error(error))
      }
      controller.enqueue(Buffer.from(`retry: ${againMs}\n\n`))
      show(first)
    },
    cancel: leave,
  })
  // Nobody reads, nor cancels, the body of an answer to HEAD.
  outgoing.on('close', leave)
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no', ...noStore } })
}
