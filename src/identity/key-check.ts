/**
 * From a key's text to what it grants. Malformed keys never reach the database. An unknown id and a wrong secret cost the same
 * work, one look-up, one HMAC and one comparison, and look the same outside.
 */
import type { Clock } from '../base/clock.ts'
import { principalOf, type StoredKey } from './key-rows.ts'
import { parseKey, type ParsedKey } from './key.ts'
import type { Digest } from './pepper.ts'
import { type Checked, denied, type Denied } from './verdict.ts'

export interface KeyCheckDeps {
  readonly findSecret: (id: string) => Promise<StoredKey | null>
  readonly peppers: { matches(secret: string, stored: Digest | null): boolean }
  readonly clock: Clock
}

/** The key in `text`, or why it cannot be one. */
export function readKey(text: string): ParsedKey | Denied {
  return parseKey(text) ?? denied('malformed')
}

/** Looks the key up. Throws what the store throws. */
export async function checkKey({ id, secret }: ParsedKey, { findSecret, peppers, clock }: KeyCheckDeps): Promise<Checked> {
  const stored = await findSecret(id)
  const digest = stored === null ? null : { version: stored.pepper, bytes: Buffer.from(stored.digestHex, 'hex') }
  const matches = peppers.matches(secret, digest)
  if (stored === null) return denied('unknown')
  if (!matches) return denied('wrong_secret')
  return grantOf(stored, clock.wallMs())
}

/** What a key grants whose holder has proven to hold it. */
export function grantOf(stored: StoredKey, nowWallMs: number): Checked {
  const { revokedAt, expiresAt } = stored.view
  if (revokedAt !== null) return denied('revoked')
  const expiresAtWallMs = expiresAt === null ? Infinity : Date.parse(expiresAt)
  if (nowWallMs >= expiresAtWallMs) return denied('expired')
  if (stored.suspended) return denied('suspended')
  return { kind: 'granted', principal: principalOf(stored), expiresAtWallMs, final: false }
}
