/** The calls under way, for `/admin/requests`, cancelling by id, and the drain at shutdown. */
import type { Call } from '../core/call.ts'
import type { RouteFacts } from '../core/route.ts'

interface Entry {
  readonly call: Call
  readonly route: RouteFacts
}

export class CallRegistry {
  /** By call and not by id: a set of objects costs a request a tenth of a map of strings. */
  readonly #calls = new Map<Call, RouteFacts>()
  #onIdle: (() => void) | null = null

  get size(): number {
    return this.#calls.size
  }

  add(call: Call, route: RouteFacts): void {
    this.#calls.set(call, route)
  }

  remove(call: Call): void {
    this.#calls.delete(call)
    if (this.#calls.size === 0) this.#onIdle?.()
  }

  /** Aborts a call; false when there is none of this id. */
  cancel(id: string, reason: unknown): boolean {
    for (const call of this.#calls.keys()) {
      if (call.id !== id) continue
      call.signal.abort(reason)
      return true
    }
    return false
  }

  list(): readonly Entry[] {
    return [...this.#calls].map(([call, route]) => ({ call, route }))
  }

  /** Resolves when no call is under way. */
  idle(): Promise<void> {
    if (this.#calls.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }
}
