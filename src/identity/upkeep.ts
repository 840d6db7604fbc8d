/**
 * What identity does from time to time: a look at the store's version each second, and what follows from another one; last-used
 * times each minute. Each failure is told and tried again. Replicas also hear of changes at once, by messages that may be lost:
 * the look each second is what counts.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Authenticator } from './authenticator.ts'
import type { KeyStore } from './key-store.ts'
import type { TenantStore } from './tenant-store.ts'
import type { TokenRevocations } from './token-revocations.ts'

const versionPollMs = 1_000
const usedFlushMs = 60_000

export interface UpkeepDeps {
  readonly keys: KeyStore
  readonly tenants: TenantStore
  readonly revocations: TokenRevocations
  readonly authenticator: Authenticator
  readonly clock: Clock
  readonly events: { readonly upkeepFailed: (what: string, reason: string) => void }
}

export class Upkeep {
  readonly #deps: UpkeepDeps
  #version: string | null = null
  #pollTimer: Timer | null = null
  #usedTimer: Timer | null = null
  /** Whether tenants and revocations were read. */
  isReady = false
  #closed = false
  /** A look waits for the one under way. */
  #isLookWanted = false
  /** What is under way; `close` waits for it. */
  #polling: Promise<void> = Promise.resolve()
  #writing: Promise<void> = Promise.resolve()

  constructor(deps: UpkeepDeps) {
    this.#deps = deps
  }

  async start(): Promise<void> {
    this.#version = await this.#deps.keys.version()
    await this.#load()
    this.#schedule()
    this.#scheduleUsed()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#pollTimer?.cancel()
    this.#usedTimer?.cancel()
    await Promise.all([this.#polling, this.#writing])
    await this.#tried('last-used times', () => this.#writeUsed())
  }

  /** Something was changed elsewhere: nothing known counts, and the store is read at once. */
  forget(): void {
    this.#deps.authenticator.forget()
    this.lookNow()
  }

  /** Reads the version now, after a look that is under way: that one may have come too early. */
  lookNow(): void {
    if (this.#closed || this.#isLookWanted) return
    this.#isLookWanted = true
    this.#polling = this.#polling.then(() => {
      this.#isLookWanted = false
      return this.#tried('version of keys', () => this.#poll())
    })
  }

  #schedule(): void {
    if (this.#closed) return
    this.#pollTimer = this.#deps.clock.after(versionPollMs, () => {
      this.lookNow()
      void this.#polling.then(() => this.#schedule())
    })
  }

  #scheduleUsed(): void {
    if (this.#closed) return
    this.#usedTimer = this.#deps.clock.after(usedFlushMs, () => {
      this.#writing = this.#tried('last-used times', () => this.#writeUsed()).then(() => this.#scheduleUsed())
    })
  }

  async #poll(): Promise<void> {
    const { keys, authenticator } = this.#deps
    const version = await keys.version()
    if (version === this.#version) return
    await this.#load()
    this.#version = version
    authenticator.forget()
  }

  async #load(): Promise<void> {
    await Promise.all([this.#deps.tenants.load(), this.#deps.revocations.load()])
    this.isReady = true
  }

  async #writeUsed(): Promise<void> {
    const used = this.#deps.authenticator.takeUsed()
    if (used.size > 0) await this.#deps.keys.markUsed(used)
  }

  async #tried(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (thrown) {
      // Whatever it was, a bug too: upkeep that fails is told, and takes down no gateway.
      this.#deps.events.upkeepFailed(what, thrown instanceof Error ? thrown.message : String(thrown))
    }
  }
}
