/**
 * What Corral stands on, as metrics: how long transactions and commands take, who waits for a connection, and whether each of them
 * answers. A scrape only copies: a database that nobody asks anything of is asked by a timer.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Metrics } from './metrics.ts'

/** What is read of a database. */
export interface WatchedDatabase {
  connections(): { readonly used: number; readonly idle: number; readonly waiting: number }
}

export interface DependencyWatchDeps {
  readonly metrics: Metrics
  readonly clock: Clock
  /** Asks the database for nothing; told of by `ended` like all else. Null: there is none. */
  readonly ask: (() => Promise<unknown>) | null
  readonly database: WatchedDatabase | null
  /** Of other dependencies, as their own upkeep found last: null while nobody knows. */
  readonly others: Readonly<Record<string, () => boolean | null>>
}

/** How old the last word of the database may be. */
const askEveryMs = 10_000
const msPerSecond = 1_000

/** Whether what Corral stands on is there. */
export class DependencyWatch {
  readonly #deps: DependencyWatchDeps
  #databaseUp: boolean | null = null
  #heardAtMs = -Infinity
  #timer: Timer | null = null

  constructor(deps: DependencyWatchDeps) {
    this.#deps = deps
    deps.metrics.addSource(() => this.#show())
  }

  /** A transaction ended. */
  ended(name: string, tookMs: number, failure: string | null): void {
    const { querySeconds, queryFailures } = this.#deps.metrics.families
    querySeconds.at(name).observe(tookMs / msPerSecond)
    if (failure !== null) queryFailures.at(failure).value += 1
    this.#databaseUp = failure === null
    this.#heardAtMs = this.#deps.clock.nowMs()
  }

  start(): void {
    if (this.#deps.ask !== null) this.#wait(this.#deps.ask)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  #wait(ask: () => Promise<unknown>): void {
    const { clock } = this.#deps
    this.#timer = clock.after(askEveryMs, () => {
      const goOn = (): void => {
        if (this.#timer !== null) this.#wait(ask)
      }
      if (clock.nowMs() - this.#heardAtMs < askEveryMs) goOn()
      // How it ended is heard by `ended`.
      else void ask().then(goOn, goOn)
    })
  }

  #show(): void {
    const { metrics, database, others } = this.#deps
    const { dependencyUp, poolConnections } = metrics.families
    const states = Object.entries(others).map(([name, look]) => [name, look()] as const)
    for (const [name, up] of [['database', this.#databaseUp] as const, ...states]) if (up !== null) dependencyUp.at(name).value = up ? 1 : 0
    if (database === null) return
    for (const [state, count] of Object.entries(database.connections())) poolConnections.at(state).value = count
  }
}
