/**
 * Keeps the counters of purges (`epochs.ts`) equal over replicas: loads them before a layer that outlives this process is trusted,
 * looks again from time to time and whenever the store says that something moved, and tells later what could not be told at once.
 *
 * Counters only grow, so looks may overlap and messages may be lost: at worst a replica lags by one poll.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Epochs, EpochStore } from './epochs.ts'

/** Until the counters are known the slower layers are of no use: looks cost less than that. */
const firstPollMs = 100
/** A purge that nobody else knows of is lost with this process: it is told as soon as the store takes it, however seldom others are looked for. */
const untoldPollMsMax = 1_000

export interface EpochSyncDeps {
  readonly epochs: Epochs
  /** Null: nothing outlives this process. */
  readonly store: EpochStore | null
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  /** The shared counters are known. Told once. */
  readonly onKnown: () => void
}

export class EpochSync {
  readonly #deps: EpochSyncDeps
  /** Counters that the store does not know of yet. */
  readonly #untold = new Set<string>()
  #unwatch: (() => void) | null = null
  #poll: Timer | null = null
  #known = false
  #closed = false

  constructor(deps: EpochSyncDeps) {
    this.#deps = deps
    if (deps.store === null) deps.onKnown()
  }

  /** Loads and follows. Rejects when the store has to be there and is not; one that may come late is waited for beside. */
  async start(): Promise<void> {
    const { store } = this.#deps
    if (store === null) return
    if (store.mayComeLate === true) await this.#look()
    else await this.#load(store)
    if (this.#closed) return
    this.#unwatch = store.watch?.(() => void this.#look()) ?? null
    this.#schedule()
  }

  #schedule(): void {
    const { store, clock } = this.#deps
    if (store === null || this.#closed) return
    this.#poll?.cancel()
    this.#poll = clock.after(this.#delayMs(store), () => void this.#look().then(() => this.#schedule()))
  }

  #delayMs({ lookEveryMs }: EpochStore): number {
    if (!this.#known) return firstPollMs
    return this.#untold.size > 0 ? Math.min(lookEveryMs, untoldPollMsMax) : lookEveryMs
  }

  /** Tells what is untold and takes over what others did. */
  async #load(store: EpochStore): Promise<void> {
    const untold = [...this.#untold]
    this.#deps.epochs.merge(untold.length > 0 ? await store.raise(untold) : await store.load())
    for (const name of untold) this.#untold.delete(name)
    if (!this.#known) this.#deps.onKnown()
    this.#known = true
  }

  async #look(): Promise<void> {
    const { store } = this.#deps
    if (store === null || this.#closed) return
    try {
      await this.#load(store)
    } catch {
      // The store is away: what is known stands, and the next look tries again.
    }
  }

  /** Raises a counter here at once; true when all replicas will hear of it with their next look. */
  async raise(name: string): Promise<boolean> {
    const { store, epochs, random } = this.#deps
    if (store === null) {
      epochs.raise(name)
      return true
    }
    // By a value of our own first; the shared one follows and is larger.
    epochs.raise(name, 0.001 + random() * 0.998)
    try {
      epochs.merge(await store.raise([name]))
      return true
    } catch {
      // Told with the next look that succeeds; the caller says so to whoever purges.
      this.#untold.add(name)
      this.#schedule()
      return false
    }
  }

  close(): void {
    this.#closed = true
    this.#poll?.cancel()
    this.#unwatch?.()
  }
}
