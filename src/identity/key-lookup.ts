/**
 * Look-ups of keys, gathered: while a query or two are under way, whoever asks meanwhile waits for the next one, which asks for all
 * of them. So a thousand users who come at once cost a handful of transactions, and one who comes alone waits for nobody.
 *
 * A look-up only ever joins a query that has not begun, so it never sees an older state than the one at its call. Bounded in
 * look-ups waiting and in the time they wait; how long a query may take is the store's affair.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import type { Database, Row } from '../store/database.ts'

/** Queries at once: one that hangs does not hold all others up. */
const queriesMax = 2
/** Values of one query. */
const batchMax = 500
/** Look-ups waiting for their query. */
const waitingMax = 4_000
/** How long one may wait for its query. */
const waitMsMax = 2_000
const retryAfterMs = 1_000

export interface KeyLookupDeps<Found> {
  readonly database: Database
  readonly clock: Clock
  /** Finds rows by the list of values in `$1`. */
  readonly text: string
  readonly decode: (row: Row) => Found
  /** The value by which a row was found. */
  readonly valueOf: (row: Row) => unknown
}

interface Waiting<Found> {
  readonly found: Promise<Found | null>
  resolve(found: Found | null): void
  reject(error: unknown): void
  readonly deadline: Timer
}

export class KeyLookup<Found> {
  readonly #deps: KeyLookupDeps<Found>
  readonly #waiting = new Map<string, Waiting<Found>>()
  #underWay = 0

  constructor(deps: KeyLookupDeps<Found>) {
    this.#deps = deps
  }

  /** What has this value; null when nothing has. Throws `overloaded` when too many wait, `store_unavailable` and what the store throws. */
  find(value: string): Promise<Found | null> {
    const joined = this.#waiting.get(value)
    if (joined !== undefined) return joined.found
    if (this.#waiting.size >= waitingMax) {
      return Promise.reject(new CorralError('overloaded', `${waitingMax} keys wait to be looked up`, { retryAfterMs }))
    }
    const { promise: found, resolve, reject } = Promise.withResolvers<Found | null>()
    const deadline = this.#deps.clock.after(waitMsMax, () => {
      this.#waiting.delete(value)
      reject(new CorralError('store_unavailable', `no key could be looked up for ${waitMsMax} ms`, { retryAfterMs }))
    })
    this.#waiting.set(value, { found, resolve, reject, deadline })
    this.#pump()
    return found
  }

  #pump(): void {
    while (this.#underWay < queriesMax && this.#waiting.size > 0) {
      this.#underWay += 1
      void this.#run(this.#take()).finally(() => {
        this.#underWay -= 1
        this.#pump()
      })
    }
  }

  /** The longest waiting ones. */
  #take(): Map<string, Waiting<Found>> {
    const batch = new Map<string, Waiting<Found>>()
    for (const [value, waiting] of this.#waiting) {
      if (batch.size === batchMax) break
      waiting.deadline.cancel()
      this.#waiting.delete(value)
      batch.set(value, waiting)
    }
    return batch
  }

  /** Never rejects: those who wait hear of the failure. */
  async #run(batch: ReadonlyMap<string, Waiting<Found>>): Promise<void> {
    const { database, text } = this.#deps
    try {
      const { rows } = await database.tx('system', ({ last }) => last(text, [[...batch.keys()]]), {
        name: 'look_up_keys',
        readOnly: true,
      })
      const rowOf = new Map(rows.map((row) => [this.#deps.valueOf(row), row]))
      for (const [value, waiting] of batch) this.#tell(waiting, rowOf.get(value))
    } catch (error) {
      for (const { reject } of batch.values()) reject(error)
    }
  }

  /** A row that cannot be read fails its own look-up and no other. */
  #tell({ resolve, reject }: Waiting<Found>, row: Row | undefined): void {
    try {
      resolve(row === undefined ? null : this.#deps.decode(row))
    } catch (error) {
      reject(error)
    }
  }
}
