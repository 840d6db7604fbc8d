/**
 * Virtual time: a heap of events that run in order of their moment, equals in order of their making. Time stands still while an
 * event runs and jumps to the next one afterwards; nothing here waits for the real clock.
 */

interface Event {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

export class EventQueue {
  readonly #heap: Event[] = []
  #made = 0
  nowMs = 0

  /** Runs `run` when `delayMs` of virtual time have passed. */
  after(delayMs: number, run: () => void): void {
    this.#made += 1
    this.#heap.push({ atMs: this.nowMs + Math.max(0, delayMs), order: this.#made, run })
    this.#rise(this.#heap.length - 1)
  }

  /** Runs events until none is left or the next one lies beyond `untilMs`. */
  runUntil(untilMs: number): void {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs; next = this.#heap[0]) {
      this.#dropFirst()
      this.nowMs = next.atMs
      next.run()
    }
  }

  #isBefore(at: number, other: number): boolean {
    const a = this.#heap[at]
    const b = this.#heap[other]
    if (a === undefined || b === undefined) return false
    return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
  }

  #swap(at: number, other: number): void {
    const a = this.#heap[at]
    const b = this.#heap[other]
    if (a === undefined || b === undefined) return
    this.#heap[at] = b
    this.#heap[other] = a
  }

  #rise(start: number): void {
    for (let at = start; at > 0;) {
      const parent = (at - 1) >> 1
      if (!this.#isBefore(at, parent)) return
      this.#swap(at, parent)
      at = parent
    }
  }

  #dropFirst(): void {
    const last = this.#heap.pop()
    if (last === undefined || this.#heap.length === 0) return
    this.#heap[0] = last
    for (let at = 0; ;) {
      const left = 2 * at + 1
      const least = this.#isBefore(left + 1, left) ? left + 1 : left
      if (!this.#isBefore(least, at)) return
      this.#swap(at, least)
      at = least
    }
  }
}
