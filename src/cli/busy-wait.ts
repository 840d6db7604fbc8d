/** Which failures of a call say that the gateway is busy, or was away for a moment. */
import { waitMsAfter } from '../base/busy-wait.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { GatewayError } from './gateway.ts'

const busyStatuses: ReadonlySet<number> = new Set([408, 429, 502, 503, 504])

/** Milliseconds until another attempt makes sense after the `attempt`th, from 1; null: it makes none. */
export function waitAfter(error: unknown, attempt: number): number | null {
  if (error instanceof GatewayError) return busyStatuses.has(error.status) ? waitMsAfter(error.retryAfterMs, attempt) : null
  return error instanceof CliError && error.exitCode === exitCodes.unreachable ? waitMsAfter(null, attempt) : null
}
