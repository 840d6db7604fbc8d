/**
 * What indexes need beside writes: segments of words joined, vector indexes built, replaced rows removed. One round after another, each
 * bounded; several processes that do it at once do not hurt each other.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { collectionsToCompact, compactCollection } from '../search/keyword/compact.ts'
import { maintainVectors } from '../search/vector-index.ts'
import type { Database } from '../store/database.ts'

export interface UpkeepDeps {
  readonly database: Database
  readonly clock: Clock
  readonly everyMs: () => number
  /** 8 random hex digits. */
  readonly newSuffix: () => string
  /** Done now and then beside the indexes. */
  readonly also: () => Promise<void>
  readonly onTrouble: (message: string, cause: unknown) => void
}

/** How often that is done which is no upkeep of an index. */
const alsoEveryMs = 30_000
/** Of one round. */
const collectionsMax = 16
const stepsMax = 64

export class Upkeep {
  readonly #deps: UpkeepDeps
  #timer: Timer | null = null
  #round: Promise<void> = Promise.resolve()
  #isClosed = false
  #hadTrouble = false
  #alsoAtMs = Number.NEGATIVE_INFINITY

  constructor(deps: UpkeepDeps) {
    this.#deps = deps
  }

  start(): void {
    this.#schedule()
  }

  /** Ends with the step that is under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#round
  }

  #schedule(): void {
    if (this.#isClosed) return
    const { clock, everyMs } = this.#deps
    this.#timer = clock.after(everyMs(), () => {
      this.#round = this.#run().then(() => this.#schedule())
    })
  }

  async #run(): Promise<void> {
    const { clock, also } = this.#deps
    await this.#guarded(() => this.#indexes())
    if (clock.nowMs() - this.#alsoAtMs < alsoEveryMs || this.#isClosed) return
    this.#alsoAtMs = clock.nowMs()
    await this.#guarded(also)
  }

  async #indexes(): Promise<void> {
    const { database, newSuffix } = this.#deps
    for (const owner of await collectionsToCompact(database, collectionsMax)) {
      if (this.#isClosed) return
      await compactCollection(database, owner, { stepsMax, isPurging: false })
    }
    if (!this.#isClosed) await maintainVectors(database, { newSuffix })
  }

  /** One kind of upkeep that fails keeps no other from its turn. A store that is away fails every round: told once. */
  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work()
      this.#hadTrouble = false
    } catch (error) {
      if (!this.#hadTrouble && !this.#isClosed) this.#deps.onTrouble('what documents need beside writes could not be done', error)
      this.#hadTrouble = true
    }
  }
}
