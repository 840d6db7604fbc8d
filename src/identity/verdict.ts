/** What authentication says of a credential. Denials are values; outside, all of them look the same. */
import type { CorralError } from '../core/errors.ts'
import type { Principal } from '../core/principal.ts'

/** Why a credential was not taken, for counters and the audit log; a client is never told which. */
export type DenialReason =
  | 'missing'
  | 'malformed'
  | 'method_off'
  | 'unknown'
  | 'wrong_secret'
  | 'expired'
  | 'revoked'
  | 'suspended'
  | 'invalid_token'
  | 'unknown_signer'
  | 'bad_signature'
  | 'stale_signature'
  | 'replayed'

export interface Granted {
  readonly kind: 'granted'
  readonly principal: Principal
}

export interface Denied {
  readonly kind: 'denied'
  readonly reason: DenialReason
}

/** It cannot be told now whether the credential is good. */
export interface Undecided {
  readonly kind: 'undecided'
  readonly error: CorralError
}

export type Verdict = Granted | Denied | Undecided

/** What a source of truth knows of one credential. */
export interface Grant {
  readonly kind: 'granted'
  readonly principal: Principal
  /** Epoch ms from which on the credential is no longer good; `Infinity`: never. */
  readonly expiresAtWallMs: number
  /** Whether it holds until it expires (a signed token); else it is asked for again after `identity.keys.cacheMs`. */
  readonly final: boolean
}

export type Checked = Grant | Denied

/** The one denial of a reason. */
export function denied(reason: DenialReason): Denied {
  return { kind: 'denied', reason }
}
