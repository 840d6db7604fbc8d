/** When a gateway that is busy, or was away for a moment, is asked again: by the command line, and by the console in a browser. */

const attemptsMax = 6
const firstWaitMs = 500
const waitMsMax = 60_000

/**
 * Milliseconds until another attempt makes sense after the `attempt`th, from 1: what the gateway told, and no less than waits that double. Null: it
 * makes none, after too many attempts or where more than a minute was told. `toldMs` is null where nothing was.
 */
export function waitMsAfter(toldMs: number | null, attempt: number): number | null {
  if (attempt >= attemptsMax || (toldMs ?? 0) > waitMsMax) return null
  return Math.max(toldMs ?? 0, Math.min(waitMsMax, firstWaitMs * 2 ** (attempt - 1)))
}

/** Milliseconds of a `Retry-After` in seconds (RFC 9110, 10.2.3); null: there is none, or it is a date, which Corral never sends. */
export function retryAfterMsOf(value: string | null): number | null {
  const seconds = Number(value ?? NaN)
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : null
}
