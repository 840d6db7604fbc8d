/**
 * Where a caller stands, as response headers: the draft `RateLimit-Policy` and `RateLimit` (ietf-wg-httpapi/ratelimit-headers;
 * tokens have a policy name of their own and no registered unit) and the `x-ratelimit-*` that OpenAI's clients read. Of several
 * buckets of a kind the tightest is told. What remains is no promise.
 */
import type { Standing } from './gcra.ts'
import type { Standings } from './verdict.ts'

const windowSeconds = 60

/** The headers, names in lower case; empty when nothing is counted per minute. */
export function limitHeaders({ requests, tokens }: Standings): Record<string, string> {
  const headers: Record<string, string> = {}
  if (requests !== null) addOwn(headers, 'requests', requests)
  if (tokens !== null) addOwn(headers, 'tokens', tokens)
  const both = [policy('requests', requests), policy('tokens', tokens)].filter((part) => part !== '')
  if (both.length === 0) return headers
  headers['ratelimit-policy'] = both.join(', ')
  headers['ratelimit'] = [state('requests', requests), state('tokens', tokens)].filter((part) => part !== '').join(', ')
  return headers
}

function policy(name: string, standing: Standing | null): string {
  return standing === null ? '' : `"${name}";q=${standing.limit};w=${windowSeconds}`
}

function state(name: string, standing: Standing | null): string {
  return standing === null ? '' : `"${name}";r=${standing.remaining};t=${Math.ceil(standing.resetMs / 1_000)}`
}

function addOwn(headers: Record<string, string>, name: 'requests' | 'tokens', { limit, remaining, resetMs }: Standing): void {
  headers[`x-ratelimit-limit-${name}`] = String(limit)
  headers[`x-ratelimit-remaining-${name}`] = String(remaining)
  headers[`x-ratelimit-reset-${name}`] = resetText(resetMs)
}

/** As OpenAI writes it: `20ms`, `1.25s`, `1m3s`. */
function resetText(resetMs: number): string {
  if (resetMs < 1_000) return `${resetMs}ms`
  if (resetMs < 60_000) return `${resetMs / 1_000}s`
  return `${Math.floor(resetMs / 60_000)}m${Math.ceil((resetMs % 60_000) / 1_000)}s`
}
