/** The calls under way, for `/admin/requests`, cancelling by id, and the drain at shutdown. */
import type { Call } from '../core/call.ts'
import type { RouteFacts } from '../core/route.ts'

export class CallRegistry {
  readonly #calls = new Map<string, { readonly call: Call; readonly route: RouteFacts }>()
  #onIdle: (() => void) | null = null

  get size(): number {
    return this.#calls.size
  }

  add(call: Call, route: RouteFacts): void {
    this.#calls.set(call.id, { call, route })
  }

  remove(call: Call): void {
    this.#calls.delete(call.id)
    if (this.#calls.size === 0) this.#onIdle?.()
  }

  /** Aborts a call; false when there is none of this id. */
  cancel(id: string, reason: unknown): boolean {
    const entry = this.#calls.get(id)
    entry?.call.signal.abort(reason)
    return entry !== undefined
  }

  list(): readonly { readonly call: Call; readonly route: RouteFacts }[] {
    return [...this.#calls.values()]
  }

  /** Resolves when no call is under way. */
  idle(): Promise<void> {
    if (this.#calls.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }
}
