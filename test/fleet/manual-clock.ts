/** A clock that a test moves by hand. Timers fire inside `advance`, in the order of their times. */
import type { Clock, Timer } from '../../src/base/clock.ts'

export interface ManualClock extends Clock {
  /** Moves time on by `ms`, firing what falls due. */
  advance(ms: number): void
  /** Timers that wait. */
  readonly pending: number
}

interface Due {
  readonly atMs: number
  readonly action: () => void
}

export function manualClock(startMs = 1_000_000): ManualClock {
  let nowMs = startMs
  const timers = new Set<Due>()
  const after = (delayMs: number, action: () => void): Timer => {
    const due = { atMs: nowMs + delayMs, action }
    timers.add(due)
    return { cancel: () => void timers.delete(due) }
  }
  return {
    get pending() {
      return timers.size
    },
    nowMs: () => nowMs,
    wallMs: () => nowMs,
    after,
    sleep: (delayMs) =>
      new Promise((resolve) => {
        after(delayMs, resolve)
      }),
    advance(ms) {
      const endMs = nowMs + ms
      for (;;) {
        const [next] = [...timers].filter(({ atMs }) => atMs <= endMs).toSorted((a, b) => a.atMs - b.atMs)
        if (next === undefined) break
        timers.delete(next)
        nowMs = next.atMs
        next.action()
      }
      nowMs = endMs
    },
  }
}
