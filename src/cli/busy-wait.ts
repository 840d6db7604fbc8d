/** When a gateway that is busy, or was away for a moment, is asked again. */
import { CliError, exitCodes } from './exit-code.ts'
import { GatewayError } from './gateway.ts'

const attemptsMax = 6
const firstWaitMs = 500
const waitMsMax = 60_000
const busyStatuses: ReadonlySet<number> = new Set([408, 429, 502, 503, 504])

/** Milliseconds until another attempt makes sense after the `attempt`th, from 1; null: it makes none. */
export function waitAfter(error: unknown, attempt: number): number | null {
  if (attempt >= attemptsMax) return null
  const backOffMs = Math.min(waitMsMax, firstWaitMs * 2 ** (attempt - 1))
  if (error instanceof GatewayError) {
    if (!busyStatuses.has(error.status) || (error.retryAfterMs ?? 0) > waitMsMax) return null
    return Math.max(error.retryAfterMs ?? 0, backOffMs)
  }
  return error instanceof CliError && error.exitCode === exitCodes.unreachable ? backOffMs : null
}
