/** Counts what the lanes of a driver see, window by window. */
import type { Failures, LoadWindow, Spread } from './load-spec.ts'
import { monotonicUs } from './monotonic.ts'
import { Samples } from './samples.ts'

/** Different causes told apart in one window; the rest falls under `others`. */
const causesMax = 40

function noFailures(): Failures {
  return { beforeFirstFrame: 0, lastAfterMs: 0, retryAfterMissing: 0, causes: {} }
}

function addTo(samplesOf: Map<string, Samples>, name: string, value: number): void {
  const known = samplesOf.get(name)
  const samples = known ?? new Samples()
  if (known === undefined) samplesOf.set(name, samples)
  samples.add(value)
}

function spreadsOf(samplesOf: ReadonlyMap<string, Samples>): Record<string, Spread> {
  return Object.fromEntries([...samplesOf].map(([name, samples]) => [name, samples.spread()]))
}

export class LoadRecorder {
  #startUs = monotonicUs()
  #kinds = new Map<string, Samples>()
  #firstFrame = new Samples()
  #frameDelay = new Samples()
  #frames = 0
  #failures = noFailures()
  #cache = new Map<string, Samples>()
  #cacheBytes: Record<string, number> = {}

  onFrame(delayMs: number): void {
    this.#frames += 1
    this.#frameDelay.add(delayMs)
  }

  onFirstFrame(afterMs: number): void {
    this.#firstFrame.add(afterMs)
  }

  onEnd(kind: string, latencyMs: number): void {
    addTo(this.#kinds, kind, latencyMs)
  }

  /** An answer that ended well and said what the cache did. */
  onCache(outcome: string, latencyMs: number, bytes: number): void {
    addTo(this.#cache, outcome, latencyMs)
    this.#cacheBytes[outcome] = (this.#cacheBytes[outcome] ?? 0) + bytes
  }

  onFailure(cause: string, facts: { readonly isBeforeFirstFrame: boolean; readonly isRetryAfterMissing: boolean }): void {
    const failures = this.#failures
    failures.lastAfterMs = (monotonicUs() - this.#startUs) / 1_000
    if (facts.isBeforeFirstFrame) failures.beforeFirstFrame += 1
    if (facts.isRetryAfterMissing) failures.retryAfterMissing += 1
    const isFull = !Object.hasOwn(failures.causes, cause) && Object.keys(failures.causes).length >= causesMax
    const name = isFull ? 'others' : cause
    failures.causes[name] = (failures.causes[name] ?? 0) + 1
  }

  /** The window so far; a new one begins. */
  take(inFlight: number): LoadWindow {
    const nowUs = monotonicUs()
    const latencyMs = spreadsOf(this.#kinds)
    const kinds = Object.fromEntries(Object.entries(latencyMs).map(([kind, { count }]) => [kind, count]))
    const durationMs = (nowUs - this.#startUs) / 1_000
    const window = { durationMs, kinds, latencyMs, firstFrameMs: this.#firstFrame.spread(), frameDelayMs: this.#frameDelay.spread() }
    const cache = { cache: spreadsOf(this.#cache), cacheBytes: this.#cacheBytes }
    const taken: LoadWindow = { ...window, ...cache, failures: this.#failures, frames: this.#frames, inFlight }
    this.#startUs = nowUs
    this.#kinds = new Map()
    this.#firstFrame = new Samples()
    this.#frameDelay = new Samples()
    this.#frames = 0
    this.#failures = noFailures()
    this.#cache = new Map()
    this.#cacheBytes = {}
    return taken
  }
}
