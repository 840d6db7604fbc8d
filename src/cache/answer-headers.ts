/**
 * What an answer's headers say of the cache: `Cache-Status` (RFC 9211, cache name `corral`; `hit` and `fwd` never together),
 * `X-Corral-Cache`, `Age`. And `Cache-Control: private, no-store`: answers to POSTs with credentials are nobody else's to keep.
 */
import type { Answer } from '../core/relay.ts'

type Headers = Answer['headers']

const control = 'private, no-store'

function fixed(status: string, role: string): Readonly<Record<string, string>> {
  return { 'cache-control': control, 'cache-status': `corral;${status}`, 'x-corral-cache': role }
}

/** Why a request was sent on, and what is said of it. */
const miss = fixed('fwd=uri-miss', 'miss')
const stale = fixed('fwd=stale', 'miss')
const refresh = fixed('fwd=request', 'miss')
const partial = fixed('fwd=partial', 'partial')
const joined = fixed('fwd=uri-miss;collapsed', 'joined')

export type ForwardReason = 'miss' | 'stale' | 'request'

/** Headers of an answer that was asked from upstream for this request. */
export function forwardedHeaders(reason: ForwardReason): (headers: Headers) => Headers {
  const ours = reason === 'miss' ? miss : reason === 'stale' ? stale : refresh
  return (headers) => ({ ...headers, ...ours })
}

/** Headers of an answer that another request had asked for already. */
export function joinedHeaders(headers: Headers): Headers {
  return { ...headers, ...joined }
}

/** Headers of an answer of which some was stored and the rest asked from upstream. */
export function partialHeaders(headers: Headers): Headers {
  return { ...headers, ...partial }
}

const bypasses = new Map<string, Readonly<Record<string, string>>>()

/** Headers of an answer that the cache had no part in: one object per reason. */
export function bypassHeaders(reason: string): Readonly<Record<string, string>> {
  let ours = bypasses.get(reason)
  if (ours === undefined) {
    ours = fixed(reason === 'no-store' ? 'fwd=request' : `fwd=bypass;detail=${reason}`, 'bypass')
    bypasses.set(reason, ours)
  }
  return ours
}

/** Headers of an answer out of a layer. Ages in ms. */
export function hitHeaders(
  contentType: string,
  { ageMs, freshForMs, detail }: { readonly ageMs: number; readonly freshForMs: number; readonly detail: string },
): Headers {
  return {
    'content-type': contentType,
    'cache-control': control,
    age: String(Math.max(0, Math.floor(ageMs / 1_000))),
    'cache-status': `corral;hit;ttl=${Math.floor(freshForMs / 1_000)};detail=${detail}`,
    'x-corral-cache': 'hit',
  }
}
