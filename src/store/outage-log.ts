/**
 * Why the store failed, for the log alone: what callers see says only that it did, because a caller without a credential sees it too.
 * An outage fails every transaction, so each kind of failure is told once per `everyMs`, with how many there were.
 */
import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { codeOf } from './sql-errors.ts'

const everyMs = 10_000
/** Kinds kept apart; they are pairs of our code and the driver's. */
const kindsMax = 200

interface OutageLogDeps {
  readonly clock: Clock
  readonly report: (message: string, cause: unknown) => void
}

interface Kind {
  toldAtMs: number
  /** Failures since then. */
  untold: number
}

export class OutageLog {
  readonly #deps: OutageLogDeps
  readonly #kinds = new Map<string, Kind>()

  constructor(deps: OutageLogDeps) {
    this.#deps = deps
  }

  /** Passes the outcome of `transaction` on, and tells of it when the store is why it failed. */
  async watch<T>(transaction: Promise<T>): Promise<T> {
    try {
      return await transaction
    } catch (error) {
      if (error instanceof CorralError && error.code.startsWith('store_')) this.#note(error)
      throw error
    }
  }

  #note(error: CorralError): void {
    const name = `${error.code} ${codeOf(error.cause)}`
    const nowMs = this.#deps.clock.nowMs()
    const kind = this.#kinds.get(name)
    if (kind !== undefined && nowMs - kind.toldAtMs < everyMs) {
      kind.untold += 1
      return
    }
    if (this.#kinds.size >= kindsMax) this.#kinds.clear()
    this.#kinds.set(name, { toldAtMs: nowMs, untold: 0 })
    const others = kind === undefined || kind.untold === 0 ? '' : ` (and ${kind.untold} times before)`
    this.#deps.report(`a transaction failed: ${error.message}${others}`, error.cause ?? null)
  }
}
