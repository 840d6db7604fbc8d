/**
 * Those who wait in a pool: joining and leaving the line, the refusal of a full one, what a client is told of its place and
 * time, deadlines, and the gate that keeps one set of runner options from starving another. Who is served next is
 * `admission.ts`'s. Bound: `admission.queueMax` per pool, retries beside it.
 */
import type { Clock } from '../base/clock.ts'
import { formatDuration } from '../base/units.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Claim } from './claim.ts'
import type { Pool, PoolTable } from './pool.ts'
import type { Runner } from './runner.ts'
import type { Wish } from './wish.ts'

export interface Waiter {
  readonly tenant: string
  readonly priority: Call['priority']
  readonly wish: Wish
  readonly call: Call
  readonly sinceMs: number
  resolve(claim: Claim): void
  reject(error: CorralError): void
  onAbort(): void
}

export interface LineEvents {
  queued(pool: string, depth: number): void
  dequeued(pool: string, depth: number, waitedMs: number, priority: Call['priority']): void
  rejected(pool: string, reason: 'full' | 'deadline' | 'no_node'): void
}

/** A waiting request whose runner options differ from those in use gets the gate after this long. */
const gatePatienceMs = 1_000

/** Who wants to wait, and whether it was sent to a node before. */
interface Joining {
  readonly wish: Wish
  readonly call: Call
  readonly retry: boolean
}

export class WaitingLine {
  readonly #events: LineEvents
  readonly #clock: Clock

  constructor(events: LineEvents, clock: Clock) {
    this.#events = events
    this.#clock = clock
  }

  /** A promise of a place; rejects `client_gone` and what `refuse` is given. Throws `queue_full`, but never for a `retry`. */
  join(pool: Pool<Waiter>, { wish, call, retry }: Joining): Promise<Claim> {
    if (pool.queue.full && !retry) {
      this.#events.rejected(pool.model, 'full')
      throw queueFull(pool)
    }
    const sinceMs = this.#clock.nowMs()
    return new Promise<Claim>((resolve, reject) => {
      const { tenant, priority } = call
      const onAbort = (): void => {
        if (pool.queue.remove(waiter)) reject(new CorralError('client_gone', 'the client left while queued'))
        this.#events.dequeued(pool.model, pool.queue.size, this.#clock.nowMs() - sinceMs, priority)
      }
      const waiter: Waiter = { tenant, priority, wish, call, sinceMs, resolve, reject, onAbort }
      pool.queue.add(waiter, retry)
      call.progress.phase = 'queued'
      call.progress.queuePosition = pool.queue.size
      call.progress.etaMs = pool.etaMs(pool.queue.size)
      this.#events.queued(pool.model, pool.queue.size)
      call.signal.on(onAbort)
    })
  }

  /** The waiter has its place. */
  serve(pool: Pool<Waiter>, waiter: Waiter, claim: Claim): void {
    this.#leave(pool, waiter, true)
    waiter.resolve(claim)
  }

  refuse(pool: Pool<Waiter>, waiter: Waiter, error: CorralError): void {
    this.#leave(pool, waiter, false)
    waiter.reject(error)
  }

  #leave(pool: Pool<Waiter>, waiter: Waiter, served: boolean): void {
    pool.queue.remove(waiter, served)
    waiter.call.signal.off(waiter.onAbort)
    waiter.call.progress.queuePosition = 0
    waiter.call.progress.etaMs = null
    this.#events.dequeued(pool.model, pool.queue.size, this.#clock.nowMs() - waiter.sinceMs, waiter.priority)
  }

  /** Regular upkeep of one line: deadlines, places and times, the gate. */
  tick(pool: Pool<Waiter>, nowMs: number, pools: Pick<PoolTable<Waiter>, 'waiting'>): void {
    this.#expire(pool, nowMs)
    updateProgress(pool)
    holdGate(pool, nowMs, pools)
  }

  #expire(pool: Pool<Waiter>, nowMs: number): void {
    for (const waiter of Array.from(pool.queue.inOrder())) {
      if (nowMs < waiter.call.deadlineAtMs) continue
      this.#events.rejected(pool.model, 'deadline')
      const waited = formatDuration(nowMs - waiter.sinceMs)
      const retryAfterMs = Math.max(1_000, pool.etaMs(pool.queue.size))
      this.refuse(pool, waiter, new CorralError('queue_timeout', `no node was free for ${pool.model} within ${waited}`, { retryAfterMs }))
    }
  }
}

function queueFull(pool: Pool<Waiter>): CorralError {
  const { size, limit } = pool.queue
  const etaMs = pool.etaMs(size + 1)
  return new CorralError('queue_full', `the queue of ${pool.model} is full (${size} of ${limit} wait)`, {
    retryAfterMs: Math.max(1_000, etaMs),
    headers: { 'x-corral-queue-position': String(size + 1), 'x-corral-queue-eta-ms': String(etaMs) },
  })
}

function updateProgress(pool: Pool<Waiter>): void {
  let position = 0
  for (const { call } of pool.queue.inOrder()) {
    position += 1
    call.progress.queuePosition = position
    call.progress.etaMs = pool.etaMs(position)
  }
}

/** Without this, a steady stream of one fingerprint would starve another for ever (verified notes §b, "Starvation"). */
function holdGate(pool: Pool<Waiter>, nowMs: number, pools: Pick<PoolTable<Waiter>, 'waiting'>): void {
  for (const waiter of pool.queue.inOrder()) {
    const { runner: request, tried } = waiter.wish
    if (nowMs - waiter.sinceMs < gatePatienceMs) continue
    const usable = pool.runners.filter((runner) => runner.fleetNode.up !== false && !tried.has(runner.node))
    if (usable.some((runner) => runner.yieldTo === request.fingerprint || runner.isCompatible(request))) continue
    const idlest = usable.toSorted((a, b) => a.inFlight - b.inFlight)[0]
    if (idlest !== undefined && idlest.yieldTo === null) idlest.yieldTo = request.fingerprint
  }
  for (const runner of pool.runners) if (runner.yieldTo !== null && !isAwaited(pools, runner)) runner.yieldTo = null
}

/** In any line that leads to the runner. */
function isAwaited(pools: Pick<PoolTable<Waiter>, 'waiting'>, runner: Runner): boolean {
  for (const pool of pools.waiting()) {
    if (!pool.runners.includes(runner)) continue
    for (const { wish } of pool.queue.inOrder()) if (wish.runner.fingerprint === runner.yieldTo) return true
  }
  return false
}
