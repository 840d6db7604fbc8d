/**
 * Lets calls to a slower layer through, or not: each has a time, few are under way at once, and a layer that failed several
 * times in a row is left alone for a while that doubles, then asked by one call. What it refuses costs nothing.
 */
import type { Clock } from '../base/clock.ts'

export interface GateOptions {
  readonly clock: Clock
  /** Calls under way at once, those that outlived their time included. */
  readonly callsMax: number
  /** Told what the last failure was (null: it took too long) when the layer is left alone from now on; once until it is well again. */
  readonly onShut: (cause: unknown) => void
}

const failuresMax = 3
const holdMsMin = 1_000
const holdMsMax = 30_000

export class LayerGate {
  readonly #options: GateOptions
  #underWay = 0
  #failures = 0
  #holdMs = holdMsMin
  #heldUntilMs = Number.NEGATIVE_INFINITY
  #probing = false
  #cause: unknown = null

  constructor(options: GateOptions) {
    this.#options = options
  }

  /** Whether calls are refused because the layer failed. */
  get isShut(): boolean {
    return this.#failures >= failuresMax && (this.#probing || this.#options.clock.nowMs() < this.#heldUntilMs)
  }

  /** What the last call failed of; null for one that took too long. */
  get cause(): unknown {
    return this.#cause
  }

  /** Runs `work`; null without a promise when it may not. Resolves null when it failed or took longer than `withinMs`. Never rejects. */
  run<T>(work: () => Promise<T>, withinMs: number): Promise<T | null> | null {
    if (this.#underWay >= this.#options.callsMax || this.isShut) return null
    this.#probing = this.#failures >= failuresMax
    this.#underWay += 1
    return new Promise((resolve) => {
      let open = true
      const settle = (conclude: () => T | null): void => {
        if (!open) return
        open = false
        timer.cancel()
        this.#probing = false
        resolve(conclude())
      }
      const timer = this.#options.clock.after(withinMs, () => settle(() => this.#failed(null)))
      work()
        .then(
          (value) => settle(() => this.#succeeded(value)),
          (error: unknown) => settle(() => this.#failed(error)),
        )
        .finally(() => {
          this.#underWay -= 1
        })
    })
  }

  #succeeded<T>(value: T): T {
    this.#failures = 0
    this.#holdMs = holdMsMin
    return value
  }

  #failed(cause: unknown): null {
    this.#cause = cause
    this.#failures += 1
    if (this.#failures < failuresMax) return null
    if (this.#failures === failuresMax) this.#options.onShut(cause)
    this.#heldUntilMs = this.#options.clock.nowMs() + this.#holdMs
    this.#holdMs = Math.min(holdMsMax, this.#holdMs * 2)
    return null
  }
}
