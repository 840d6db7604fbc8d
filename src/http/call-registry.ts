/** The calls under way, for `/admin/requests`, cancelling by id, and the drain at shutdown. */
import { type Listed, LiveList } from '../base/live-list.ts'
import type { Call } from '../core/call.ts'
import type { RouteFacts } from '../core/route.ts'

/** A call with its route. */
export interface ListedCall extends Listed {
  readonly call: Call
  readonly route: RouteFacts
  /** Canonical name; null: it names none, or its body has not come yet. */
  readonly model: string | null
}

export class CallRegistry {
  readonly #calls = new LiveList<ListedCall>()
  #onIdle: (() => void) | null = null

  get size(): number {
    return this.#calls.size
  }

  add(listed: ListedCall): void {
    this.#calls.add(listed)
  }

  remove(listed: ListedCall): void {
    this.#calls.remove(listed)
    if (this.#calls.size === 0) this.#onIdle?.()
  }

  /** Aborts a call; false when there is none of this id. */
  cancel(id: string, reason: unknown): boolean {
    const found = this.#calls.find(({ call }) => call.id === id)
    found?.call.signal.abort(reason)
    return found !== undefined
  }

  list(): readonly ListedCall[] {
    return this.#calls.toArray()
  }

  /** Resolves when no call is under way. */
  idle(): Promise<void> {
    if (this.#calls.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }
}
