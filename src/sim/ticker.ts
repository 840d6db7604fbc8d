/**
 * One timer for everything a simulated herd waits for. Deadlines are grouped by whole millisecond, so a thousand streams
 * that are due together cost one wake-up. Deadlines are absolute: a late wake-up never slows a stream down.
 * Invariant: at most one `Clock` timer is pending, for the earliest deadline.
 */
import type { Clock, Timer } from '../base/clock.ts'

/** A pending action; `cancel` is idempotent. */
export class Tick {
  action: (() => void) | null
  constructor(action: () => void) {
    this.action = action
  }
  cancel(): void {
    this.action = null
  }
}

export class Ticker {
  readonly clock: Clock
  #buckets = new Map<number, Tick[]>()
  #heap: number[] = []
  #timer: Timer | null = null
  #timerDueMs = Infinity

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Monotonic milliseconds. */
  nowMs(): number {
    return this.clock.nowMs()
  }

  /** Runs `action` at the monotonic time `dueMs` (rounded up to a whole millisecond). */
  at(dueMs: number, action: () => void): Tick {
    const tick = new Tick(action)
    const key = Math.ceil(dueMs)
    const bucket = this.#buckets.get(key)
    if (bucket !== undefined) {
      bucket.push(tick)
      return tick
    }
    this.#buckets.set(key, [tick])
    this.#pushKey(key)
    if (key < this.#timerDueMs) this.#arm()
    return tick
  }

  /** Runs `action` after `delayMs`. */
  after(delayMs: number, action: () => void): Tick {
    return this.at(this.clock.nowMs() + delayMs, action)
  }

  #arm(): void {
    this.#timer?.cancel()
    const dueMs = this.#heap[0]
    if (dueMs === undefined) {
      this.#timer = null
      this.#timerDueMs = Infinity
      return
    }
    this.#timerDueMs = dueMs
    this.#timer = this.clock.after(Math.max(0, dueMs - this.clock.nowMs()), () => this.#fire())
  }

  #fire(): void {
    this.#timerDueMs = -Infinity
    const nowMs = this.clock.nowMs() + 0.5
    for (let key = this.#heap[0]; key !== undefined && key <= nowMs; key = this.#heap[0]) {
      this.#popKey()
      const bucket = this.#buckets.get(key)
      this.#buckets.delete(key)
      for (const tick of bucket ?? []) {
        const action = tick.action
        tick.action = null
        action?.()
      }
    }
    this.#timerDueMs = Infinity
    this.#arm()
  }

  #pushKey(key: number): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(key)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (above === undefined || above <= key) break
      heap[at] = above
      at = parent
    }
    heap[at] = key
  }

  #popKey(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      const left = heap[child]
      if (left === undefined) break
      const right = heap[child + 1]
      if (right !== undefined && right < left) child += 1
      const least = heap[child]
      if (least === undefined || least >= last) break
      heap[at] = least
      at = child
    }
    heap[at] = last
  }
}
