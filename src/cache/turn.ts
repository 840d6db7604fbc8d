/**
 * A place in the line of replicas that want the same from upstream. Taken once; it ends once, whether it was our turn or another's: then the
 * others go on, and nobody waits on behalf of a request that is over.
 */
import type { Clock } from '../base/clock.ts'
import type { FlightLease, Turn } from './second-layer.ts'

export interface TurnDeps {
  /** Null: there is no line. */
  readonly lease: FlightLease | null
  readonly clock: Clock
  /** How long to wait for another's turn to end, in ms; null: as long as it lasts. */
  readonly waitMsMax: number | null
}

export class TurnInLine {
  readonly #deps: TurnDeps
  #leave: (() => void) | null = null
  #ended = false

  constructor(deps: TurnDeps) {
    this.#deps = deps
  }

  /**
   * Waits until upstream may be asked, in our turn or because the wait was long enough. False: there is no line. True: look once more, for
   * another's answer may have come, between the last look and our turn too. Never rejects.
   */
  async take(key: string): Promise<boolean> {
    const turn = await this.#acquire(key)
    if (turn === null) return false
    this.#leave = turn.isOurs ? turn.release : turn.leave
    if (this.#ended) this.#leave()
    if (turn.isOurs) return true
    const { clock, waitMsMax } = this.#deps
    const timer = waitMsMax === null ? null : clock.after(waitMsMax, turn.leave)
    await turn.over
    timer?.cancel()
    this.#leave = null
    return true
  }

  async #acquire(key: string): Promise<Turn | null> {
    try {
      return await (this.#deps.lease?.acquire(key) ?? null)
    } catch {
      return null
    }
  }

  /** Gives the turn back, or leaves the line. */
  readonly end = (): void => {
    this.#ended = true
    this.#leave?.()
    this.#leave = null
  }
}
