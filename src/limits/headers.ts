/**
 * Where a caller stands, as response headers: the draft `RateLimit-Policy` and `RateLimit` (ietf-wg-httpapi/ratelimit-headers;
 * tokens have a policy name of their own and no registered unit) and the `x-ratelimit-*` that OpenAI's clients read. Of several
 * buckets of a kind the tightest is told. What remains is no promise.
 */
import type { Standing } from './gcra.ts'
import type { Standings } from './verdict.ts'

const windowSeconds = 60

/** Names by kind, spelt out: a name put together for each answer would have to be looked up as text each time. */
const names = {
  requests: { limit: 'x-ratelimit-limit-requests', remaining: 'x-ratelimit-remaining-requests', reset: 'x-ratelimit-reset-requests' },
  tokens: { limit: 'x-ratelimit-limit-tokens', remaining: 'x-ratelimit-remaining-tokens', reset: 'x-ratelimit-reset-tokens' },
} as const

/** Adds the headers, names in lower case; none when nothing is counted per minute. */
export function addLimitHeaders(headers: Record<string, string | string[]>, { requests, tokens }: Standings): void {
  if (requests !== null) addOwn(headers, 'requests', requests)
  if (tokens !== null) addOwn(headers, 'tokens', tokens)
  const policies = joined(policy('requests', requests), policy('tokens', tokens))
  if (policies === '') return
  headers['ratelimit-policy'] = policies
  headers['ratelimit'] = joined(state('requests', requests), state('tokens', tokens))
}

function joined(one: string, other: string): string {
  return one === '' || other === '' ? one + other : `${one}, ${other}`
}

function policy(name: string, standing: Standing | null): string {
  return standing === null ? '' : `"${name}";q=${standing.limit};w=${windowSeconds}`
}

function state(name: string, standing: Standing | null): string {
  return standing === null ? '' : `"${name}";r=${standing.remaining};t=${Math.ceil(standing.resetMs / 1_000)}`
}

function addOwn(headers: Record<string, string | string[]>, kind: keyof typeof names, { limit, remaining, resetMs }: Standing): void {
  const name = names[kind]
  headers[name.limit] = String(limit)
  headers[name.remaining] = String(remaining)
  headers[name.reset] = resetText(resetMs)
}

/** As OpenAI writes it: `20ms`, `1.25s`, `1m3s`. */
function resetText(resetMs: number): string {
  if (resetMs < 1_000) return `${resetMs}ms`
  if (resetMs < 60_000) return `${resetMs / 1_000}s`
  const seconds = Math.ceil(resetMs / 1_000)
  return `${Math.floor(seconds / 60)}m${seconds % 60}s`
}
