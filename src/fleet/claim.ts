/** What a request holds while a node works on it. `admission.ts` makes claims and takes them back; who holds one settles its ticket. */
import type { Ticket } from './breaker.ts'
import type { Runner } from './runner.ts'

/** A place on a node, held until the end of the answer. */
export interface Claim {
  readonly runner: Runner
  /** Canonical name that was asked for, one of those that share the runner; `*` for an unbounded one. */
  readonly model: string
  readonly ticket: Ticket | null
  readonly reason: string
  /** Requests of this model under way on the node, this one included. */
  readonly inFlightAtDispatch: number
  readonly waitedMs: number
}
