/**
 * A node's circuit breaker: a state machine over injected time. `acquire` hands out a ticket that is settled exactly once,
 * at the true end of the answer, so that a stream that breaks in its middle counts. A ticket of an earlier generation
 * changes nothing. Numbers are Envoy's outlier detection (reliability-security.md §1): 5 failures in a row, 30 s × times
 * ejected in a row less one per 30 s of good service since, jitter; streams that break count as their own, more telling kind.
 *
 * closed → open (failures) → half_open (after the ejection; one trial at a time) → closed (trial ok) or open again.
 * A trial whose stream runs well need not end for that: `prove` closes the breaker, and the ticket then counts like any
 * other of the closed state, so that a break later in the same stream is not lost.
 */
import type { FleetOptions } from './options.ts'

export type BreakerState = 'closed' | 'open' | 'half_open'
export type TicketResult = 'ok' | 'fail' | 'broken_stream' | 'neutral'

export interface Ticket {
  /** Reports the end. Only the first call counts. */
  settle(result: TicketResult, nowMs: number): void
  /** The stream has run well for long enough (`attempt-watch.ts`) to decide a trial. No effect on other tickets. */
  prove(nowMs: number): void
}

export interface Breaker {
  state(nowMs: number): BreakerState
  /** A ticket for one request; null while disabled. Callers look at `state` first: `open` nodes are asked only in a panic. */
  acquire(nowMs: number): Ticket | null
  /** Milliseconds until a trial is allowed; 0 when not open. */
  ejectedForMs(nowMs: number): number
  /** Closes it by the operator's will; ejections are counted anew. */
  forceClose(nowMs: number): void
  onChange: (state: BreakerState) => void
}

type BreakerOptions = FleetOptions['breaker']

/** A new breaker, closed. `random` in [0, 1) spreads the ends of ejections. */
export function createBreaker(options: () => BreakerOptions, random: () => number): Breaker {
  return new NodeBreaker(options, random)
}

const ejectJitter = 0.1
const bucketCount = 10

/** Requests and failures of the last `windowMs`, in ten buckets. */
class FailureWindow {
  readonly #requests = Array.from({ length: bucketCount }, () => 0)
  readonly #failures = Array.from({ length: bucketCount }, () => 0)
  #bucket = 0

  #advance(nowMs: number, windowMs: number): number {
    const bucket = Math.floor(nowMs / (windowMs / bucketCount))
    const steps = Math.min(bucketCount, bucket - this.#bucket)
    for (let step = 0; step < steps; step += 1) {
      const index = (bucket - step) % bucketCount
      this.#requests[index] = 0
      this.#failures[index] = 0
    }
    this.#bucket = bucket
    return bucket % bucketCount
  }

  add(failed: boolean, nowMs: number, windowMs: number): void {
    const index = this.#advance(nowMs, windowMs)
    this.#requests[index] = (this.#requests[index] ?? 0) + 1
    if (failed) this.#failures[index] = (this.#failures[index] ?? 0) + 1
  }

  /** Share of failures once there are at least `requestsMin` requests; 0 before. */
  ratio(requestsMin: number): number {
    const requests = this.#requests.reduce((sum, count) => sum + count, 0)
    const failures = this.#failures.reduce((sum, count) => sum + count, 0)
    return requests < requestsMin ? 0 : failures / requests
  }

  clear(): void {
    this.#requests.fill(0)
    this.#failures.fill(0)
  }
}

class NodeBreaker implements Breaker {
  readonly #options: () => BreakerOptions
  readonly #random: () => number
  readonly #window = new FailureWindow()
  #state: BreakerState = 'closed'
  #generation = 0
  #failuresInRow = 0
  #brokenInRow = 0
  #ejectionsInRow = 0
  #openUntilMs = 0
  /** Since when good service counts towards the next ejection to be forgiven. */
  #goodSinceMs = -Infinity
  #trial = false
  onChange: (state: BreakerState) => void = () => undefined

  constructor(options: () => BreakerOptions, random: () => number) {
    this.#options = options
    this.#random = random
  }

  state(nowMs: number): BreakerState {
    if (this.#state === 'closed') return 'closed'
    if (!this.#options().enabled) return 'closed'
    if (this.#state === 'open' && nowMs >= this.#openUntilMs) this.#enter('half_open')
    // One trial at a time: while it runs the node takes nothing else.
    return this.#state === 'half_open' && this.#trial ? 'open' : this.#state
  }

  acquire(nowMs: number): Ticket | null {
    if (!this.#options().enabled) return null
    const trial = this.state(nowMs) === 'half_open'
    if (trial) this.#trial = true
    return new BreakerTicket(this, this.#generation, trial)
  }

  ejectedForMs(nowMs: number): number {
    return this.#state === 'open' ? Math.max(0, this.#openUntilMs - nowMs) : 0
  }

  forceClose(nowMs: number): void {
    this.#ejectionsInRow = 0
    this.#close(nowMs)
  }

  /** Called by a trial's ticket. The generation that it belongs to from now on; null: the trial is of an earlier one. */
  proved(generation: number, nowMs: number): number | null {
    if (generation !== this.#generation) return null
    this.#close(nowMs)
    return this.#generation
  }

  /** Called by a ticket. */
  settled(result: TicketResult, { generation, trial, nowMs }: { generation: number; trial: boolean; nowMs: number }): void {
    if (generation !== this.#generation) return
    if (trial) this.#settleTrial(result, nowMs)
    else if (this.#state === 'closed') this.#settleClosed(result, nowMs)
  }

  #settleTrial(result: TicketResult, nowMs: number): void {
    this.#trial = false
    if (result === 'ok') this.#close(nowMs)
    else if (result !== 'neutral') this.#open(nowMs)
  }

  #settleClosed(result: TicketResult, nowMs: number): void {
    if (result === 'neutral') return
    const options = this.#options()
    this.#window.add(result !== 'ok', nowMs, options.windowMs)
    if (result === 'ok') {
      this.#failuresInRow = 0
      this.#brokenInRow = 0
      this.#forgive(nowMs, options.ejectMs)
      return
    }
    this.#failuresInRow += 1
    if (result === 'broken_stream') this.#brokenInRow += 1
    const inRow = this.#failuresInRow >= options.consecutiveFailures || this.#brokenInRow >= options.consecutiveBrokenStreams
    if (inRow || this.#window.ratio(options.failureRatioRequestsMin) >= options.failureRatio) this.#open(nowMs)
  }

  /** One ejection per `ejectMs` closed. A good answer forgives one at most: idle time is no service. */
  #forgive(nowMs: number, ejectMs: number): void {
    if (this.#ejectionsInRow === 0 || nowMs - this.#goodSinceMs < ejectMs) return
    this.#ejectionsInRow -= 1
    this.#goodSinceMs = nowMs
  }

  #open(nowMs: number): void {
    const { ejectMs, ejectMsMax } = this.#options()
    this.#ejectionsInRow += 1
    const durationMs = Math.min(ejectMsMax, ejectMs * this.#ejectionsInRow)
    this.#openUntilMs = nowMs + durationMs * (1 + ejectJitter * (this.#random() * 2 - 1))
    this.#enter('open')
  }

  #close(nowMs: number): void {
    this.#goodSinceMs = nowMs
    this.#enter('closed')
  }

  #enter(state: BreakerState): void {
    this.#generation += 1
    this.#trial = false
    this.#failuresInRow = 0
    this.#brokenInRow = 0
    this.#window.clear()
    const changed = this.#state !== state
    this.#state = state
    if (changed) this.onChange(state)
  }
}

class BreakerTicket implements Ticket {
  readonly #breaker: NodeBreaker
  #generation: number
  #trial: boolean
  #settled = false

  constructor(breaker: NodeBreaker, generation: number, trial: boolean) {
    this.#breaker = breaker
    this.#generation = generation
    this.#trial = trial
  }

  settle(result: TicketResult, nowMs: number): void {
    if (this.#settled) return
    this.#settled = true
    this.#breaker.settled(result, { generation: this.#generation, trial: this.#trial, nowMs })
  }

  prove(nowMs: number): void {
    if (this.#settled || !this.#trial) return
    const generation = this.#breaker.proved(this.#generation, nowMs)
    if (generation === null) return
    this.#generation = generation
    this.#trial = false
  }
}
