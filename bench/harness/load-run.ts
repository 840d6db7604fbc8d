/**
 * One load: lanes that send a spec's request, closed loop (each lane as soon as it is free) or open loop (at a
 * rate, from due times, so that a slow target cannot hide its own queue). A lane rests a moment after a failure:
 * a refusing target must not turn the driver into a spin.
 */
import { systemClock } from '../../src/base/clock.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { LoadLane } from './load-lane.ts'
import type { LaneOwner } from './load-lane.ts'
import { LoadRecorder } from './load-recorder.ts'
import type { LoadSpec, LoadWindow } from './load-spec.ts'
import { monotonicUs } from './monotonic.ts'
import { requestSource } from './request-source.ts'
import type { RequestSource } from './request-source.ts'

const restAfterFailureMs = 5
const sweepEveryMs = 100

export class LoadRun implements LaneOwner {
  readonly recorder = new LoadRecorder()
  readonly #spec: LoadSpec
  readonly #source: RequestSource
  readonly #random = randomSequence(7)
  readonly #lanes: LoadLane[]
  readonly #indices: ReadonlyMap<LoadLane, number>
  readonly #free: LoadLane[] = []
  readonly #backlogUs: number[] = []
  readonly #startUs = monotonicUs()
  #sent = 0
  #ended = 0
  #isStopping = false
  #onDrained: (() => void) | undefined

  constructor(spec: LoadSpec) {
    this.#spec = spec
    this.#source = requestSource(spec)
    this.#lanes = Array.from({ length: spec.connections }, () => new LoadLane(spec.port, this))
    this.#indices = new Map(this.#lanes.map((lane, index) => [lane, index]))
    if (spec.rate > 0) {
      this.#free.push(...this.#lanes)
      this.#pace()
    } else this.#startClosed()
    this.#sweep()
  }

  mark(): LoadWindow {
    return this.recorder.take(this.#inFlight)
  }

  /** Sends no more, waits up to `graceMs` for requests under way, closes every connection. */
  async finish(graceMs: number): Promise<LoadWindow> {
    this.#isStopping = true
    await this.#drain(graceMs)
    for (const lane of this.#lanes) lane.abandon('cut-by-driver')
    return this.mark()
  }

  /** Resolves when `requestsMax` requests have ended. */
  async all(): Promise<void> {
    while (this.#ended < this.#spec.requestsMax) await systemClock.sleep(5)
  }

  onLaneFree(lane: LoadLane, kind: string): void {
    this.#ended += 1
    if (this.#isStopping || this.#isSpent) {
      if (this.#inFlight === 0) this.#onDrained?.()
      return
    }
    if (this.#spec.rate > 0) return this.#reuse(lane)
    const { thinkMs } = this.#spec
    if (kind === 'ok' && thinkMs > 0) systemClock.after(-Math.log(1 - this.#random()) * thinkMs, () => this.#resume(lane), true)
    else if (kind === 'ok') this.#send(lane, monotonicUs())
    else systemClock.after(restAfterFailureMs, () => this.#resume(lane), true)
  }

  get #inFlight(): number {
    return this.#sent - this.#ended
  }

  get #isSpent(): boolean {
    return this.#spec.requestsMax > 0 && this.#sent >= this.#spec.requestsMax
  }

  #resume(lane: LoadLane): void {
    if (!this.#isStopping && !this.#isSpent) this.#send(lane, monotonicUs())
  }

  #send(lane: LoadLane, dueUs: number): void {
    this.#sent += 1
    lane.send(this.#source(this.#sent, this.#indices.get(lane) ?? 0), dueUs)
  }

  #startClosed(): void {
    const stepMs = this.#spec.rampMs / this.#lanes.length
    this.#lanes.forEach((lane, index) => systemClock.after(index * stepMs, () => this.#resume(lane), true))
  }

  /** Sends what has fallen due since the last tick. */
  #pace(): void {
    if (this.#isStopping || this.#isSpent) return
    const dueCount = Math.floor(((monotonicUs() - this.#startUs) * this.#spec.rate) / 1_000_000) + 1
    for (let offered = this.#sent + this.#backlogUs.length; offered < dueCount && !this.#isSpent; offered += 1) {
      const dueUs = this.#startUs + (offered * 1_000_000) / this.#spec.rate
      const lane = this.#free.pop()
      if (lane === undefined) this.#backlogUs.push(dueUs)
      else this.#send(lane, dueUs)
    }
    systemClock.after(1, () => this.#pace(), true)
  }

  #reuse(lane: LoadLane): void {
    const dueUs = this.#backlogUs.shift()
    if (dueUs === undefined) this.#free.push(lane)
    else this.#send(lane, dueUs)
  }

  #sweep(): void {
    const oldestUs = monotonicUs() - this.#spec.timeoutMs * 1_000
    for (const lane of this.#lanes) if (lane.isBusy && lane.sentUs < oldestUs) lane.abandon('timeout')
    if (!this.#isStopping || this.#inFlight > 0) systemClock.after(sweepEveryMs, () => this.#sweep())
  }

  #drain(graceMs: number): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = systemClock.after(graceMs, resolve, true)
      this.#onDrained = () => {
        timer.cancel()
        resolve()
      }
    })
  }
}
