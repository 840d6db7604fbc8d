/** Counts what the lanes of a driver see, window by window. */
import type { LoadWindow, Spread } from './load-spec.ts'
import { monotonicUs } from './monotonic.ts'
import { Samples } from './samples.ts'

export class LoadRecorder {
  #startUs = monotonicUs()
  #kinds = new Map<string, Samples>()
  #firstFrame = new Samples()
  #frameDelay = new Samples()
  #frames = 0

  onFrame(delayMs: number): void {
    this.#frames += 1
    this.#frameDelay.add(delayMs)
  }

  onFirstFrame(afterMs: number): void {
    this.#firstFrame.add(afterMs)
  }

  onEnd(kind: string, latencyMs: number): void {
    const known = this.#kinds.get(kind)
    const samples = known ?? new Samples()
    if (known === undefined) this.#kinds.set(kind, samples)
    samples.add(latencyMs)
  }

  /** The window so far; a new one begins. */
  take(inFlight: number): LoadWindow {
    const nowUs = monotonicUs()
    const kinds: Record<string, number> = {}
    const latencyMs: Record<string, Spread> = {}
    for (const [kind, samples] of this.#kinds) {
      const spread = samples.spread()
      kinds[kind] = spread.count
      latencyMs[kind] = spread
    }
    const durationMs = (nowUs - this.#startUs) / 1_000
    const window = { durationMs, kinds, latencyMs, firstFrameMs: this.#firstFrame.spread(), frameDelayMs: this.#frameDelay.spread() }
    const taken: LoadWindow = { ...window, frames: this.#frames, inFlight }
    this.#startUs = nowUs
    this.#kinds = new Map()
    this.#firstFrame = new Samples()
    this.#frameDelay = new Samples()
    this.#frames = 0
    return taken
  }
}
