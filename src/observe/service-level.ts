/** The service level: which outcomes count against it, and what is promised unless an operator chooses otherwise. */
import type { OutcomeLabel } from './outcome.ts'

/** The fault of the gateway or its nodes. */
const bad: readonly OutcomeLabel[] = [
  'internal',
  'node_error',
  'node_timeout',
  'truncated',
  'no_node',
  'queue_full',
  'queue_timeout',
  'draining',
]
/** The client's own doing, refusals by limits among them: neither good nor bad. */
const excluded: readonly OutcomeLabel[] = ['client_error', 'client_gone']

/** Matcher of requests that break the promise. */
export const badOutcomes = `outcome=~"${bad.join('|')}"`
/** Matcher of requests that count at all. */
export const countedOutcomes = `outcome!~"${excluded.join('|')}"`

/**
 * Matchers of decisions on credentials: valid attempts, and those of them that the gateway failed. A credential that is missing, malformed,
 * unknown, over, taken back or of a way that is switched off is no valid attempt: refusing it is right.
 */
export const validAttempts = 'result=~"granted|undecided"'
export const failedAttempts = 'result="undecided"'

export interface ServiceLevel {
  /** Share of counted requests that are good, over 30 days; 0 to 1, both exclusive. */
  readonly availability: number
  /** Share of streams whose first token comes within `firstTokenSeconds`; 0 to 1, both exclusive. */
  readonly firstTokenShare: number
  /** A bound of `corral_time_to_first_token_seconds`. */
  readonly firstTokenSeconds: number
}

export const defaultServiceLevel: ServiceLevel = { availability: 0.999, firstTokenShare: 0.95, firstTokenSeconds: 2.5 }
