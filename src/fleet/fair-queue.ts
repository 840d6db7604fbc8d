/**
 * A bounded waiting line, fair between tenants: interactive before batch, and inside a priority the tenants take turns, so
 * that one tenant's thousand requests delay another's one by one place only. Pure structure: no clock, no timers.
 */
import type { Priority } from '../core/call.ts'

export interface Waiting {
  readonly tenant: string
  readonly priority: Priority
}

interface Line<T> {
  readonly tenant: string
  readonly items: T[]
}

/** One priority class: tenants in turn, each with its own first-in first-out line. */
class Lane<T extends Waiting> {
  readonly #lines: Line<T>[] = []
  #turn = 0
  size = 0

  add(item: T, front: boolean): void {
    let line = this.#lines.find((candidate) => candidate.tenant === item.tenant)
    if (line === undefined) {
      line = { tenant: item.tenant, items: [] }
      this.#lines.push(line)
    }
    if (front) line.items.unshift(item)
    else line.items.push(item)
    this.size += 1
  }

  remove(item: T): boolean {
    const lineIndex = this.#lines.findIndex((candidate) => candidate.tenant === item.tenant)
    const line = this.#lines[lineIndex]
    const index = line?.items.indexOf(item) ?? -1
    if (line === undefined || index < 0) return false
    line.items.splice(index, 1)
    this.size -= 1
    if (line.items.length === 0) this.#dropLine(lineIndex)
    return true
  }

  #dropLine(lineIndex: number): void {
    this.#lines.splice(lineIndex, 1)
    if (lineIndex < this.#turn) this.#turn -= 1
    if (this.#turn >= this.#lines.length) this.#turn = 0
  }

  /** Items in the order in which they would be served. */
  *inOrder(): Generator<T> {
    const count = this.#lines.length
    const longest = Math.max(0, ...this.#lines.map((line) => line.items.length))
    for (let round = 0; round < longest; round += 1) {
      for (let step = 0; step < count; step += 1) {
        const item = this.#lines[(this.#turn + step) % count]?.items[round]
        if (item !== undefined) yield item
      }
    }
  }

  /** After `item` was served its tenant goes to the end of the turn. */
  passTurn(item: T): void {
    const index = this.#lines.findIndex((line) => line.tenant === item.tenant)
    if (index >= 0) this.#turn = (index + 1) % this.#lines.length
  }
}

export class FairQueue<T extends Waiting> {
  readonly #lanes: Record<Priority, Lane<T>> = { interactive: new Lane(), batch: new Lane() }
  readonly #limit: () => number

  /** `limit` is asked at each use, so that a reload takes effect. */
  constructor(limit: () => number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#lanes.interactive.size + this.#lanes.batch.size
  }

  get limit(): number {
    return this.#limit()
  }

  get full(): boolean {
    return this.size >= this.limit
  }

  /** Adds an item; `front` puts a retry before its tenant's others, and is never refused. False when full. */
  add(item: T, front = false): boolean {
    if (this.full && !front) return false
    this.#lanes[item.priority].add(item, front)
    return true
  }

  /** Takes an item out wherever it stands. `served` moves its tenant to the end of the turn. */
  remove(item: T, served = false): boolean {
    const lane = this.#lanes[item.priority]
    if (served) lane.passTurn(item)
    return lane.remove(item)
  }

  /** Everything that waits, in the order of service. */
  *inOrder(): Generator<T> {
    yield* this.#lanes.interactive.inOrder()
    yield* this.#lanes.batch.inOrder()
  }
}
