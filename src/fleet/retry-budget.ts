/**
 * One budget for all retries of the process: at most a share of the requests under way, plus a floor, at the same time
 * (Envoy's 20 % + 3). It keeps a failing fleet from being asked ever more.
 */
import type { FleetOptions } from './options.ts'

export class RetryBudget {
  readonly #options: () => FleetOptions['retry']
  #taken = 0
  /** Requests under way, queued ones included. Kept by the dispatcher. */
  active = 0

  constructor(options: () => FleetOptions['retry']) {
    this.#options = options
  }

  /** Retries under way. */
  get taken(): number {
    return this.#taken
  }

  /** Whether a retry could be taken at this moment. */
  canTake(): boolean {
    const { budgetRatio, budgetFloor } = this.#options()
    return this.#taken < budgetFloor + Math.floor(this.active * budgetRatio)
  }

  /** Takes a retry from the budget; false when it is spent. Give it back with `release` when the request ends. */
  tryTake(): boolean {
    if (!this.canTake()) return false
    this.#taken += 1
    return true
  }

  release(): void {
    this.#taken -= 1
  }
}
