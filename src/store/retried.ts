/**
 * Which failed transactions are tried again: a conflict (deadlock, serialization failure) at most 3 times with jitter; a lost
 * connection when nothing can have happened, that is before the transaction was begun, or once when it only reads. A write whose
 * connection is lost is never repeated: it may have taken effect.
 */
import { type Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { type TransactVerdict } from './transact.ts'
import { codeOf, isConflict, isConnectionLost, readOnlyState, storeError, unavailable } from './sql-errors.ts'

const conflictRetriesMax = 3
/** A pool may hand out several connections that died together. */
const beginRetriesMax = 3
const readRetriesMax = 1
/** Mean pause before the first retry of a conflict; it doubles. */
const conflictPauseMs = 10

export interface RetrySettings {
  readonly readOnly: boolean
  readonly clock: Clock
  /** From 0 to 1. */
  readonly random: () => number
}

/** Calls `attempt` until it is done or may not be repeated; throws what the caller of `tx` is to hear. */
export async function retried<T>(attempt: () => Promise<TransactVerdict<T>>, { readOnly, clock, random }: RetrySettings): Promise<T> {
  let conflicts = 0
  let lostAtBegin = 0
  let lostReads = 0
  for (;;) {
    const verdict = await attempt()
    if (verdict.kind === 'done') return verdict.value
    const { cause, phase, error } = verdict
    if (isConflict(cause) && conflicts < conflictRetriesMax) {
      conflicts += 1
      await clock.sleep(conflictPauseMs * 2 ** conflicts * random())
    } else if (isConnectionLost(cause) && phase === 'begin' && lostAtBegin < beginRetriesMax) {
      lostAtBegin += 1
    } else if (isConnectionLost(cause) && readOnly && lostReads < readRetriesMax) {
      lostReads += 1
    } else {
      if (phase === 'commit' && !readOnly && (isConnectionLost(error) || error instanceof CorralError)) {
        throw unavailable('the connection to the database was lost during the commit: whether it took effect is not known', error)
      }
      if (codeOf(error) === readOnlyState && !readOnly) throw unavailable('the database only reads at present', error)
      throw storeError(error)
    }
  }
}
