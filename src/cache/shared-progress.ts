/** The progress of one upstream call that several calls wait for: whatever is written into it shows in all of theirs. */
import { newProgress, type Phase, type Progress } from '../core/call.ts'

export class SharedProgress implements Progress {
  readonly #own = newProgress()
  readonly #mirrors = new Set<Progress>()
  /** What is shared does not pass by the cache. */
  readonly bypassHeaders = null

  /** Begins as that of the first who wanted the answer; each keeps its own. */
  boundaryAtMs: number | null = null

  /** Shows the state in `progress` from now on, until `remove`. */
  add(progress: Progress): void {
    this.#mirrors.add(progress)
    this.boundaryAtMs ??= progress.boundaryAtMs
    Object.assign(progress, this.#own, { boundaryAtMs: progress.boundaryAtMs })
  }

  remove(progress: Progress): void {
    this.#mirrors.delete(progress)
  }

  get phase(): Phase {
    return this.#own.phase
  }
  set phase(phase: Phase) {
    this.#own.phase = phase
    for (const mirror of this.#mirrors) mirror.phase = phase
  }

  get queuePosition(): number {
    return this.#own.queuePosition
  }
  set queuePosition(queuePosition: number) {
    this.#own.queuePosition = queuePosition
    for (const mirror of this.#mirrors) mirror.queuePosition = queuePosition
  }

  get etaMs(): number | null {
    return this.#own.etaMs
  }
  set etaMs(etaMs: number | null) {
    this.#own.etaMs = etaMs
    for (const mirror of this.#mirrors) mirror.etaMs = etaMs
  }

  get node(): string | null {
    return this.#own.node
  }
  set node(node: string | null) {
    this.#own.node = node
    for (const mirror of this.#mirrors) mirror.node = node
  }

  get routeReason(): string | null {
    return this.#own.routeReason
  }
  set routeReason(routeReason: string | null) {
    this.#own.routeReason = routeReason
    for (const mirror of this.#mirrors) mirror.routeReason = routeReason
  }

  get attempts(): number {
    return this.#own.attempts
  }
  set attempts(attempts: number) {
    this.#own.attempts = attempts
    for (const mirror of this.#mirrors) mirror.attempts = attempts
  }

  get frames(): number {
    return this.#own.frames
  }
  set frames(frames: number) {
    this.#own.frames = frames
    for (const mirror of this.#mirrors) mirror.frames = frames
  }

  get dispatchedAtMs(): number | null {
    return this.#own.dispatchedAtMs
  }
  set dispatchedAtMs(dispatchedAtMs: number | null) {
    this.#own.dispatchedAtMs = dispatchedAtMs
    for (const mirror of this.#mirrors) mirror.dispatchedAtMs = dispatchedAtMs
  }
}
