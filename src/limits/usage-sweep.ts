/**
 * Deletes usage records and texts that are older than they are kept, a bounded number at a time so that no statement is long and no lock is
 * wide. Each replica does it; two that meet delete different rows or none. A failure is told and tried again a minute later.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Database } from '../store/database.ts'
import { deleteOld, type SweptTable } from './ledger-writer.ts'

export interface UsageSweepDeps {
  readonly database: Database
  readonly clock: Clock
  /** How long records and texts are kept, in ms. */
  readonly keepMs: () => Readonly<Record<SweptTable, number>>
  readonly onTrouble: (error: unknown) => void
}

const sweepEveryMs = 60_000
const rowsPerStatement = 1_000
const statementsPerSweep = 60

export class UsageSweep {
  readonly #deps: UsageSweepDeps
  #timer: Timer | null = null
  #sweeping: Promise<void> = Promise.resolve()
  #closed = false

  constructor(deps: UsageSweepDeps) {
    this.#deps = deps
  }

  start(): void {
    if (this.#closed) return
    this.#timer = this.#deps.clock.after(sweepEveryMs, () => {
      this.#sweeping = this.sweep().then(
        () => this.start(),
        (error: unknown) => {
          this.#deps.onTrouble(error)
          this.start()
        },
      )
    })
  }

  /** Deletes what is too old, as much as one turn may; gives how many rows. Rejects with what the store says. */
  async sweep(): Promise<number> {
    const keepMs = this.#deps.keepMs()
    // Texts go with their records at the latest.
    const texts = await this.#sweepTable('usage_texts', Math.min(keepMs.usage_texts, keepMs.usage_records))
    return texts + (await this.#sweepTable('usage_records', keepMs.usage_records))
  }

  async #sweepTable(table: SweptTable, keepMs: number): Promise<number> {
    const { database, clock } = this.#deps
    const before = new Date(clock.wallMs() - keepMs)
    let deleted = 0
    for (let statement = 0; statement < statementsPerSweep && !this.#closed; statement += 1) {
      const rows = await deleteOld(database, table, { before, rowsMax: rowsPerStatement })
      deleted += rows
      if (rows < rowsPerStatement) break
    }
    return deleted
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#sweeping
  }
}
