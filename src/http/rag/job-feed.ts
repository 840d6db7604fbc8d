/**
 * Jobs as events: `jobs` with the page that was asked for, at once and whenever it has changed; comments meanwhile. After a minute the stream
 * ends with `renew`, and is asked for again with a credential that is judged anew.
 */
import type { Clock, Timer } from '../../base/clock.ts'
import { CorralError } from '../../core/errors.ts'
import { keepAliveComment, keepAliveMs } from './keep-alive.ts'
import type { RagDeps } from './rag-deps.ts'
import { noStore, type RagContext } from './rag-route.ts'

const lifeMs = 60_000

export interface JobsRead {
  /** What is sent. */
  readonly page: object
  /** Whether something will change by itself. */
  readonly isMoving: boolean
}

/** How often the store is asked while something moves, and else. */
const everyMs = { moving: 1_000, resting: 3_000 } as const
/** Streams of one tenant: each of them asks the store. */
const followersMax = 32
/** What a follower may leave unread; then it gets the next page that there is room for. */
const unreadBytesMax = 1_048_576

export class JobFeed {
  readonly #deps: Pick<RagDeps, 'clock'>
  /** Streams under way by tenant. */
  readonly #followers = new Map<string, number>()

  constructor(deps: Pick<RagDeps, 'clock'>) {
    this.#deps = deps
  }

  /** `read` gives the present page; a failure after the first ends the stream. Throws `overloaded` when the tenant has too many. */
  async follow({ env: { outgoing } }: RagContext, tenant: string, read: () => Promise<JobsRead>): Promise<Response> {
    if ((this.#followers.get(tenant) ?? 0) >= followersMax)
      throw new CorralError('overloaded', `${followersMax} streams follow jobs already`, { retryAfterMs: 10_000 })
    // Counted before the first look: many that come at once must not all find room.
    this.#count(tenant, 1)
    const stream = new JobStream(this.#deps.clock, read)
    const leave = (): void => {
      if (stream.leave()) this.#count(tenant, -1)
    }
    // Nobody reads, nor cancels, the body of an answer to HEAD.
    outgoing.on('close', leave)
    const first = await read().catch((error: unknown) => {
      leave()
      throw error
    })
    if (outgoing.destroyed) leave()
    const body = new ReadableStream<Uint8Array>(
      { start: (controller) => stream.show(controller, first), cancel: leave },
      new ByteLengthQueuingStrategy({ highWaterMark: unreadBytesMax }),
    )
    return new Response(body, { headers: { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no', ...noStore } })
  }

  #count(tenant: string, change: 1 | -1): void {
    const count = (this.#followers.get(tenant) ?? 0) + change
    if (count === 0) this.#followers.delete(tenant)
    else this.#followers.set(tenant, count)
  }
}

/** One stream. After `leave` nothing is read, sent or waited for. */
class JobStream {
  readonly #clock: Clock
  readonly #read: () => Promise<JobsRead>
  readonly #overAtMs: number
  #sent = ''
  #sentAtMs = 0
  #timer: Timer | null = null
  #isLeft = false

  constructor(clock: Clock, read: () => Promise<JobsRead>) {
    this.#clock = clock
    this.#read = read
    this.#overAtMs = clock.nowMs() + lifeMs
  }

  /** Sends it where it is new, a comment where nothing was for a while, and looks again after a while. */
  show(controller: Controller, { page, isMoving }: JobsRead): void {
    if (this.#isLeft) return
    const text = JSON.stringify(page)
    const isNew = text !== this.#sent
    const isDue = isNew || this.#clock.nowMs() - this.#sentAtMs >= keepAliveMs
    if (isDue && (controller.desiredSize ?? 0) > 0) {
      controller.enqueue(isNew ? Buffer.from(`event: jobs\ndata: ${text}\n\n`) : keepAliveComment)
      this.#sent = text
      this.#sentAtMs = this.#clock.nowMs()
    }
    this.#timer = this.#clock.after(isMoving ? everyMs.moving : everyMs.resting, () => this.#look(controller))
  }

  /** False: it was left before. */
  leave(): boolean {
    if (this.#isLeft) return false
    this.#isLeft = true
    this.#timer?.cancel()
    return true
  }

  #look(controller: Controller): void {
    if (this.#clock.nowMs() >= this.#overAtMs) {
      controller.enqueue(Buffer.from('event: renew\ndata: {}\n\n'))
      controller.close()
      return
    }
    this.#read()
      .then((read) => this.show(controller, read))
      .catch((error: unknown) => {
        if (!this.#isLeft) controller.error(error)
      })
  }
}

type Controller = ReadableStreamDefaultController<Uint8Array>
