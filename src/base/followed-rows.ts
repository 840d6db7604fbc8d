/**
 * What operators change while the gateway runs, as rows by name: kept in the store where there is one, so that it outlives a process, and
 * read from it each second, so that it reaches the other replicas. A store that is away keeps nobody from a change: it is told when it is
 * back, and what is known stands meanwhile. Changes are made one after the other.
 */
import { isDeepStrictEqual } from 'node:util'

import type { Clock, Timer } from './clock.ts'

type Rows<V> = ReadonlyMap<string, V>

/** Where rows are kept. */
export interface RowStore<V> {
  /** Whether other processes may write, too. */
  readonly shared: boolean
  load(): Promise<Rows<V>>
  /** Null: no row any more. */
  write(name: string, row: V | null): Promise<void>
}

export interface FollowedRowsDeps<V> {
  readonly clock: Clock
  /** Null: rows last as long as this process. */
  readonly store: RowStore<V> | null
  /** The rows in force here. */
  readonly current: () => Rows<V>
  /** Puts rows into force that were changed elsewhere; rejects and keeps the old ones when it cannot. */
  readonly put: (rows: Rows<V>) => Promise<void>
  /** What they are, in the plural, for the log. */
  readonly what: string
  readonly onTrouble: (message: string, cause: unknown) => void
}

/** How far this process may lag behind a change on another one. */
const pollMs = 1_000

export class FollowedRows<V> {
  readonly #deps: FollowedRowsDeps<V>
  /** As the store said last. */
  #seen: Rows<V> = new Map()
  /** Not in the store yet. */
  readonly #untold = new Map<string, V | null>()
  #turn: Promise<unknown> = Promise.resolve()
  #poll: Timer | null = null
  #closed = false
  /** Since the store was away, until it was told and read again. */
  #isTroubled = false

  constructor(deps: FollowedRowsDeps<V>) {
    this.#deps = deps
  }

  /** Takes over what was changed before, and follows what others change. */
  async start(): Promise<void> {
    await this.look()
    this.#schedule()
  }

  close(): void {
    this.#closed = true
    this.#poll?.cancel()
  }

  /** Whether a row outlives this process and reaches the other replicas. */
  isKept(name: string): boolean {
    return this.#deps.store !== null && !this.#untold.has(name)
  }

  /** Runs `work` when no change is under way. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    // Whoever asked hears of a failure; the next one does not.
    this.#turn = done.catch(() => undefined)
    return done
  }

  /** A change that is made here: `work` makes it, and the rows that differ then are kept. `changed`: those; null: taken away. */
  change<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly changed: ReadonlyMap<string, V | null> }> {
    return this.inTurn(async () => {
      const before = this.#deps.current()
      const result = await work()
      const changed = differences(before, this.#deps.current())
      if (this.#deps.store !== null) for (const [name, row] of changed) this.#untold.set(name, row)
      await this.#tellStore()
      return { result, changed }
    })
  }

  /** Another process of this machine made these changes. */
  adopt(changes: Iterable<readonly [name: string, row: V | null]>): Promise<void> {
    return this.inTurn(() => {
      const next = new Map(this.#deps.current())
      for (const [name, row] of changes) {
        if (row === null) next.delete(name)
        else next.set(name, row)
      }
      return this.#deps.put(next)
    })
  }

  /** Reads the store now; whether that is done. A store that is away is told to `onTrouble`, once until it was read again. */
  async look(): Promise<boolean> {
    const { store, current, put, what, onTrouble } = this.#deps
    if (store === null) return false
    try {
      return await this.inTurn(async () => {
        if (!(await this.#tellStore())) return false
        const kept = await store.load()
        // What is in force may lack what the file has overtaken: only what the store says anew counts.
        if (!isDeepStrictEqual(kept, this.#seen) && !isDeepStrictEqual(kept, current())) await put(kept)
        this.#seen = kept
        this.#isTroubled = false
        return true
      })
    } catch (error) {
      // What is known stands, and the next look tries again.
      if (!this.#isTroubled) onTrouble(`${what} cannot be read, they stay as they are`, error)
      this.#isTroubled = true
      return false
    }
  }

  #schedule(): void {
    const { store, clock } = this.#deps
    if (store === null || this.#closed) return
    this.#poll = clock.after(pollMs, () => {
      const isNeeded = store.shared || this.#isTroubled
      void (isNeeded ? this.look() : Promise.resolve()).then(() => this.#schedule())
    })
  }

  /** Whether the store knows all that was changed here. */
  async #tellStore(): Promise<boolean> {
    const { store, what, onTrouble } = this.#deps
    if (store === null) return false
    for (const [name, row] of this.#untold) {
      try {
        await store.write(name, row)
        this.#untold.delete(name)
      } catch (error) {
        if (!this.#isTroubled) onTrouble(`${what}: the change of ${name} holds in this process only until the store is back`, error)
        this.#isTroubled = true
        return false
      }
    }
    return true
  }
}

function differences<V>(before: Rows<V>, after: Rows<V>): Map<string, V | null> {
  const names = [...before.keys(), ...after.keys()].filter((name) => before.get(name) !== after.get(name))
  return new Map(names.map((name) => [name, after.get(name) ?? null]))
}
