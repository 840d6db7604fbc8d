/**
 * All assistants in memory, so that a request for any other model costs one look at a map. A look at the store's version now and then, and
 * at once after a change made here, keeps it current; a store that cannot be reached leaves what is known.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Assistant } from '../core/assistant.ts'
import type { AssistantStore } from './assistant-store.ts'
import { assistantKey } from './assistant-wish.ts'

const none: ReadonlyMap<string, Assistant> = new Map()

export interface RegistryDeps {
  readonly store: Pick<AssistantStore, 'all' | 'version'>
  readonly clock: Clock
  /** How often others' changes are looked for. */
  readonly lookEveryMs: number
  /** Hears of a look at the store that failed; the next one comes as usual. */
  readonly onTrouble: (message: string, cause: unknown) => void
}

export class AssistantRegistry {
  readonly #deps: RegistryDeps
  #tenants: ReadonlyMap<string, ReadonlyMap<string, Assistant>> = new Map()
  #version: string | null = null
  #timer: Timer | null = null
  #looking: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(deps: RegistryDeps) {
    this.#deps = deps
  }

  /** The assistant of this canonical model name. */
  find(tenant: string, canonical: string): Assistant | undefined {
    return this.#tenants.get(tenant)?.get(canonical)
  }

  /** All of a tenant, for lists of models. */
  of(tenant: string): readonly Assistant[] {
    return [...(this.#tenants.get(tenant) ?? none).values()]
  }

  /** Reads all, then looks for changes now and then. Rejects when the first reading fails. */
  async start(): Promise<void> {
    await this.#look()
    this.#schedule()
  }

  /** Looks now, after a look that is under way: that one may have come too early. */
  refresh(): Promise<void> {
    this.#looking = this.#looking.then(async () => {
      try {
        await this.#look()
      } catch (error) {
        this.#deps.onTrouble('assistants could not be read', error)
      }
    })
    return this.#looking
  }

  /** Ends the looks and waits for one under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#looking
  }

  /** Resolves when no look is under way. */
  async idle(): Promise<void> {
    let looking: Promise<void> | null = null
    while (looking !== this.#looking) {
      looking = this.#looking
      await looking
    }
  }

  #schedule(): void {
    if (this.#isClosed) return
    this.#timer = this.#deps.clock.after(this.#deps.lookEveryMs, () => this.#again())
  }

  #again(): void {
    this.#looking = this.refresh().then(() => this.#schedule())
  }

  async #look(): Promise<void> {
    const { store } = this.#deps
    const version = await store.version()
    if (version === this.#version) return
    const tenants = new Map<string, Map<string, Assistant>>()
    for (const assistant of await store.all()) {
      const own = tenants.get(assistant.tenant) ?? new Map<string, Assistant>()
      own.set(assistantKey(assistant.name), assistant)
      tenants.set(assistant.tenant, own)
    }
    this.#tenants = tenants
    this.#version = version
  }
}
