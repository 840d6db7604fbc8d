/**
 * Lets calls to a slower layer through, or not: each has a time, few are under way at once, and a layer that failed several
 * times in a row is left alone for a while that doubles, then asked by one call. What it refuses costs nothing.
 */
import type { Clock } from '../base/clock.ts'

export interface GateOptions {
  readonly clock: Clock
  /** Calls under way at once, those that outlived their time included. */
  readonly callsMax: number
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

  constructor(options: GateOptions) {
    this.#options = options
  }

  /** Whether calls are refused because the layer failed. */
  get isShut(): boolean {
    return this.#failures >= failuresMax && (this.#probing || this.#options.clock.nowMs() < this.#heldUntilMs)
  }

  /** Runs `work`; null without a promise when it may not. Resolves null when it failed or took longer than `withinMs`. Never rejects. */
  run<T>(work: () => Promise<T>, withinMs: number): Promise<T | null> | null {
    if (this.#underWay >= this.#options.callsMax || this.isShut) return null
    this.#probing = this.#failures >= failuresMax
    this.#underWay += 1
    return new Promise((resolve) => {
      let open = true
      const settle = (value: T | null, isFailure: boolean): void => {
        if (!open) return
        open = false
        timer.cancel()
        this.#probing = false
        if (isFailure) this.#failed()
        else this.#failures = 0
        resolve(value)
      }
      const timer = this.#options.clock.after(withinMs, () => settle(null, true))
      work()
        .then(
          (value) => {
            if (open) this.#holdMs = holdMsMin
            settle(value, false)
          },
          () => settle(null, true),
        )
        .finally(() => {
          this.#underWay -= 1
        })
    })
  }

  #failed(): void {
    this.#failures += 1
    if (this.#failures < failuresMax) return
    this.#heldUntilMs = this.#options.clock.nowMs() + this.#holdMs
    this.#holdMs = Math.min(holdMsMax, this.#holdMs * 2)
  }
}
