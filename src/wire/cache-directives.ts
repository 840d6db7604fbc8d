/**
 * What a client says about caching: `Cache-Control` of the request (RFC 9111 §5.2.1, RFC 5861 §4) and `X-Corral-Cache`.
 * Unknown directives are ignored, a directive whose value cannot be read too; of a repeated one the strictest counts.
 */
import { type CacheMode, cacheModes } from '../core/principal.ts'

export interface Directives {
  readonly noStore: boolean
  readonly noCache: boolean
  readonly onlyIfCached: boolean
  /** Seconds; null where not sent. `Infinity` for `max-stale` without a value. */
  readonly maxAgeSeconds: number | null
  readonly minFreshSeconds: number | null
  readonly maxStaleSeconds: number | null
  readonly staleIfErrorSeconds: number | null
  /** `X-Corral-Cache: auto|on|off`. */
  readonly mode: CacheMode | null
}

/** What holds for a request that says nothing. */
export const noDirectives: Directives = {
  noStore: false,
  noCache: false,
  onlyIfCached: false,
  maxAgeSeconds: null,
  minFreshSeconds: null,
  maxStaleSeconds: null,
  staleIfErrorSeconds: null,
  mode: null,
}

/** RFC 9111 §1.2.2: a delta beyond this counts as this. */
const deltaSecondsMax = 2 ** 31
const headerLengthMax = 1_024

/** Reads a flat list of lower-case names and values. The shared `noDirectives` when there is nothing to read. */
export function readDirectives(headers: readonly string[]): Directives {
  let control: string | null = null
  let mode: Directives['mode'] = null
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]
    if (name === 'cache-control') control = control === null ? (headers[index + 1] ?? '') : `${control},${headers[index + 1] ?? ''}`
    else if (name === 'x-corral-cache') mode = readMode(headers[index + 1] ?? '') ?? mode
  }
  if (control === null && mode === null) return noDirectives
  return { ...readControl(control ?? ''), mode }
}

function readMode(value: string): Directives['mode'] {
  const word = value.trim().toLowerCase()
  return cacheModes.find((mode) => mode === word) ?? null
}

type Writable = { -readonly [Name in keyof Directives]: Directives[Name] }

function readControl(control: string): Directives {
  const found: Writable = { ...noDirectives }
  if (control.length > headerLengthMax) return { ...noDirectives, noStore: true }
  for (const directive of control.split(',')) {
    const equals = directive.indexOf('=')
    const name = (equals < 0 ? directive : directive.slice(0, equals)).trim().toLowerCase()
    const value = equals < 0 ? null : deltaSeconds(directive.slice(equals + 1))
    if (name === 'no-store') found.noStore = true
    else if (name === 'no-cache') found.noCache = true
    else if (name === 'only-if-cached') found.onlyIfCached = true
    else if (name === 'max-age') found.maxAgeSeconds = least(found.maxAgeSeconds, value)
    else if (name === 'min-fresh') found.minFreshSeconds = most(found.minFreshSeconds, value)
    else if (name === 'max-stale') found.maxStaleSeconds = least(found.maxStaleSeconds, equals < 0 ? Infinity : value)
    else if (name === 'stale-if-error') found.staleIfErrorSeconds = least(found.staleIfErrorSeconds, value)
  }
  return found
}

/** Digits, bare or quoted; null for anything else. */
function deltaSeconds(text: string): number | null {
  const match = /^"?(\d+)"?$/.exec(text.trim())
  return match === null ? null : Math.min(Number(match[1]), deltaSecondsMax)
}

function least(known: number | null, value: number | null): number | null {
  if (value === null) return known
  return known === null ? value : Math.min(known, value)
}

function most(known: number | null, value: number | null): number | null {
  if (value === null) return known
  return known === null ? value : Math.max(known, value)
}
