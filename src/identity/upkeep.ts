/**
 * What identity does from time to time: a look at the store's version, and what follows from another one; last-used
 * times each minute. Each failure is told and tried again. Replicas also hear of changes at once, by messages that may be lost:
 * the look at the version is what counts. A version all of whose changes were heard of costs what they touch; any other, everything.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Authenticator } from './authenticator.ts'
import type { KeyStore } from './key-store.ts'
import type { TenantStore } from './tenant-store.ts'
import type { TokenRevocations } from './token-revocations.ts'
import type { Change } from './touched.ts'

const usedFlushMs = 60_000
/** Changes heard of between two looks; beyond them everything is looked up again. */
const heardMax = 1_000

export interface UpkeepDeps {
  readonly keys: KeyStore
  readonly tenants: TenantStore
  readonly revocations: TokenRevocations
  readonly authenticator: Authenticator
  readonly clock: Clock
  /** How often others' changes are looked for. */
  readonly lookEveryMs: number
  readonly events: { readonly upkeepFailed: (what: string, reason: string) => void }
}

export class Upkeep {
  readonly #deps: UpkeepDeps
  #version = -1n
  /** Changes heard of by the version they made, that no look has seen yet. False: ours, and read already. */
  readonly #heard = new Map<bigint, Change | false>()
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
    this.#deps.authenticator.forget(null)
    this.lookNow()
  }

  /** We made this change. */
  note({ version, touched }: Change): void {
    this.#deps.authenticator.forget(touched)
    if (this.#heard.size < heardMax) this.#heard.set(version, false)
  }

  /** Another replica made this change. What tenants and revocations say is read at once. */
  hear(change: Change): void {
    this.#deps.authenticator.forget(change.touched)
    if (change.version <= this.#version) return
    if (this.#heard.size < heardMax) this.#heard.set(change.version, change)
    if (change.touched.kind !== 'key') this.lookNow()
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
    this.#pollTimer = this.#deps.clock.after(this.#deps.lookEveryMs, () => {
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
    const unread = this.#unreadUntil(version)
    if (unread === null || unread.length > 0) await this.#load()
    this.#version = version
    for (const heard of this.#heard.keys()) if (heard <= version) this.#heard.delete(heard)
    if (unread === null) authenticator.forget(null)
    else for (const { touched } of unread) authenticator.forget(touched)
  }

  /** Changes until this version that ask for a look into the store; null: not all of them were heard of. */
  #unreadUntil(version: bigint): Change[] | null {
    const unread: Change[] = []
    if (version < this.#version || version - this.#version > heardMax) return null
    for (let each = this.#version + 1n; each <= version; each += 1n) {
      const heard = this.#heard.get(each)
      if (heard === undefined) return null
      if (heard !== false && heard.touched.kind !== 'key') unread.push(heard)
    }
    return unread
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
