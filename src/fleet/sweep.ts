/**
 * The regular look at what is under way: deadlines of attempts, then queues and the watchdog. With nothing under way and nobody waiting it comes
 * seldom, for each look wakes the process, and at once more often when that changes.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Listed, LiveList } from '../base/live-list.ts'

/** How often the deadlines of what is under way are looked at: a hang is found within its budget and half of 100 ms (F4). */
const sweepEveryMs = 50
/** The same while nothing is under way. */
const restEveryMs = 250
/** How often queues and the watchdog are looked at, at most. */
const upkeepEveryMs = 2 * sweepEveryMs
/** A sweep later than this comes after a stall of this process: what nodes sent meanwhile is still unread. */
const stallMs = 200

export interface Swept extends Listed {
  /** Ends it when its time is over. */
  check(nowMs: number): void
}

export interface SweepDeps {
  readonly clock: Clock
  readonly active: LiveList<Swept>
  /** Whether anybody is in a queue. */
  readonly isAwaited: () => boolean
  /** Looks at queues and nodes. */
  readonly upkeep: (nowMs: number) => void
}

export class Sweep {
  readonly #deps: SweepDeps
  #timer: Timer | null = null
  #isResting = false
  #stalled = false
  #keptAtMs = -Infinity

  constructor(deps: SweepDeps) {
    this.#deps = deps
  }

  start(): void {
    const { clock, active, isAwaited } = this.#deps
    this.#isResting = active.size === 0 && !isAwaited()
    const delayMs = this.#isResting ? restEveryMs : sweepEveryMs
    const dueAtMs = clock.nowMs() + delayMs
    this.#timer = clock.after(delayMs, () => {
      // What begins during the look is seen at its end.
      this.#isResting = false
      this.#look(clock.nowMs(), dueAtMs)
      if (this.#timer !== null) this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  /** Something is under way, or somebody waits. */
  wake(): void {
    if (this.#timer === null || !this.#isResting) return
    this.#timer.cancel()
    this.start()
  }

  #look(nowMs: number, dueAtMs: number): void {
    // Once: a process that is always late must not wait for ever.
    this.#stalled = !this.#stalled && nowMs - dueAtMs > stallMs
    if (!this.#stalled) this.#deps.active.forEach((attempt) => attempt.check(nowMs))
    if (nowMs - this.#keptAtMs < upkeepEveryMs) return
    this.#keptAtMs = nowMs
    this.#deps.upkeep(nowMs)
  }
}
