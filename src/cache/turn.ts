/**
 * A place in the line of replicas that want the same from upstream. Taken once; it ends once, whether it was our turn or another's: then the
 * others go on, and nobody waits on behalf of a request that is over.
 */
import type { FlightLease, Turn } from './second-layer.ts'

export class TurnInLine {
  readonly #lease: FlightLease | null
  #leave: (() => void) | null = null
  #ended = false

  /** `lease` null: there is no line. */
  constructor(lease: FlightLease | null) {
    this.#lease = lease
  }

  /**
   * Waits until upstream may be asked. False: there is no line. True: look once more, for another's answer may have come, between the last
   * look and our turn too. Never rejects.
   */
  async take(key: string): Promise<boolean> {
    const turn = await this.#acquire(key)
    if (turn === null) return false
    this.#leave = turn.isOurs ? turn.release : turn.leave
    if (this.#ended) this.#leave()
    if (turn.isOurs) return true
    await turn.over
    this.#leave = null
    return true
  }

  async #acquire(key: string): Promise<Turn | null> {
    try {
      return await (this.#lease?.acquire(key) ?? null)
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
