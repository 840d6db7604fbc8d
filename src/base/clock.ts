/**
 * The only place that reads time or sets timers. Everything else receives a `Clock`, so that a test or the
 * virtual simulator can hand in its own. `nowMs` is monotonic (a wall-clock jump moves no deadline);
 * `wallMs` is for people and logs.
 */
import { performance } from 'node:perf_hooks'

/** How long the event loop of this thread was not idle, since its start. Milliseconds. */
export function loopActiveMs(): number {
  return performance.eventLoopUtilization().active
}

/** A pending timer. `cancel` is idempotent and safe after firing. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Monotonic milliseconds, with a fraction. Comparable only within one process. */
  nowMs(): number
  /** Milliseconds since 1970-01-01 UTC. */
  wallMs(): number
  /** Runs `action` once after `delayMs`, at most 24.8 days. The timer does not keep the process alive unless `keepAlive` is set. */
  after(delayMs: number, action: () => void, keepAlive?: boolean): Timer
  /** Resolves after `delayMs`. */
  sleep(delayMs: number): Promise<void>
}

/** Node's timers fire at once when they are to wait longer: 24.8 days. */
const timerMsMax = 2_147_483_647

class NodeTimer implements Timer {
  readonly #handle: NodeJS.Timeout
  constructor(delayMs: number, action: () => void, keepAlive: boolean) {
    this.#handle = setTimeout(action, Math.min(delayMs, timerMsMax))
    if (!keepAlive) this.#handle.unref()
  }
  cancel(): void {
    clearTimeout(this.#handle)
  }
}

/** The clock of the running process. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, action, keepAlive = false) => new NodeTimer(delayMs, action, keepAlive),
  sleep: (delayMs) =>
    new Promise((resolve) => {
      setTimeout(resolve, delayMs)
    }),
}
