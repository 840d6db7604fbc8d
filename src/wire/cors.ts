/**
 * Origin and Host as Ollama 0.33 treats them (transcripts 033–035, 327–340): a foreign `Origin` is refused even for plain
 * requests, the request's own origin passes without a header, and a loopback listener takes only local host names, against
 * DNS rebinding. Beyond Ollama's list the preflight allows the headers of the Anthropic SDK and our own.
 */
import { isIP } from 'node:net'

export interface CorsQuestion {
  readonly origin: string
  readonly host: string
  readonly method: string
  /** `Access-Control-Request-Method`; null when absent. */
  readonly requestMethod: string | null
  /** Extra allowed origins in the form of `OLLAMA_ORIGINS`; `*` is a wildcard. */
  readonly allowed: readonly string[]
}

export type CorsDecision =
  | { readonly kind: 'pass'; readonly headers: Readonly<Record<string, string>> }
  | { readonly kind: 'preflight'; readonly headers: Readonly<Record<string, string | string[]>> }
  | { readonly kind: 'refuse' }

const localHosts = new Set(['localhost', '127.0.0.1', '0.0.0.0'])
const appSchemes = ['app://', 'file://', 'tauri://', 'vscode-webview://', 'vscode-file://']

const allowHeaders = [
  'Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta',
  'X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os',
  'X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,X-Stainless-Runtime-Version',
  'X-Stainless-Timeout,X-Api-Key,Anthropic-Version,Anthropic-Beta,Anthropic-Dangerous-Direct-Browser-Access,X-Request-Id',
  'X-Corral-Priority,X-Corral-Explain,X-Corral-Nodes,Traceparent,Tracestate',
].join(',')

const preflightHeaders = {
  'access-control-allow-headers': allowHeaders,
  'access-control-allow-methods': 'GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS',
  'access-control-max-age': '43200',
}

const exposeHeaders =
  'X-Request-Id,X-Corral-Trace-Id,X-Corral-Node,X-Corral-Route,X-Corral-Failed-Nodes,X-Corral-Queue-Position,X-Corral-Queue-Eta-Ms,Retry-After'

/** What to do with a request that carries an `Origin`. */
export function decideCors({ origin, host, method, requestMethod, allowed }: CorsQuestion): CorsDecision {
  if (origin === `http://${host}` || origin === `https://${host}`) return { kind: 'pass', headers: {} }
  const star = allowed.includes('*')
  if (!star && !isOriginAllowed(origin, allowed)) return { kind: 'refuse' }
  const allowOrigin = { 'access-control-allow-origin': star ? '*' : origin }
  if (method === 'OPTIONS' && requestMethod !== null) {
    const vary = star ? {} : { vary: ['Origin', 'Access-Control-Request-Method', 'Access-Control-Request-Headers'] }
    return { kind: 'preflight', headers: { ...preflightHeaders, ...allowOrigin, ...vary } }
  }
  const headers = { ...allowOrigin, 'access-control-expose-headers': exposeHeaders }
  return { kind: 'pass', headers: star ? headers : { ...headers, vary: 'Origin' } }
}

function isOriginAllowed(origin: string, allowed: readonly string[]): boolean {
  if (appSchemes.some((scheme) => origin.startsWith(scheme))) return true
  const match = /^https?:\/\/([^/:]+)(:\d{1,5})?$/.exec(origin)
  if (match?.[1] !== undefined && localHosts.has(match[1])) return true
  return allowed.some((pattern) => matchesPattern(origin, pattern.trim()))
}

/** `*` stands for any text; a pattern without a scheme fits http and https. */
function matchesPattern(origin: string, pattern: string): boolean {
  if (pattern === '') return false
  const full = pattern.includes('://') ? [pattern] : [`http://${pattern}`, `https://${pattern}`]
  return full.some((candidate) => {
    const parts = candidate.split('*')
    const [first = '', ...rest] = parts
    if (!origin.startsWith(first)) return false
    let position = first.length
    for (const part of rest.slice(0, -1)) {
      const at = origin.indexOf(part, position)
      if (at < 0) return false
      position = at + part.length
    }
    const last = rest.at(-1)
    return last === undefined ? position === origin.length : origin.length - last.length >= position && origin.endsWith(last)
  })
}

const localSuffixes = ['.localhost', '.local', '.internal']

/** Verdicts on host names without the operator's own, since clients send the same few. */
const hostCacheMax = 256
const knownHosts = new Map<string, boolean>()

/** True when a loopback listener may answer for this `Host`. `extra`: host names the operator added. */
export function isHostAllowed(host: string, extra: readonly string[]): boolean {
  let local = knownHosts.get(host)
  if (local === undefined) {
    local = isLocalName(hostName(host))
    if (knownHosts.size >= hostCacheMax) knownHosts.clear()
    knownHosts.set(host, local)
  }
  return local || extra.some((allowed) => allowed.toLowerCase() === hostName(host))
}

function isLocalName(name: string): boolean {
  if (name === '' || name === 'localhost' || localSuffixes.some((suffix) => name.endsWith(suffix))) return true
  return isIP(name) !== 0 && isPrivateAddress(name)
}

function hostName(host: string): string {
  const lower = host.toLowerCase()
  if (lower.startsWith('[')) return /^\[([0-9a-f:.]+)\](?::\d+)?$/.exec(lower)?.[1] ?? 'invalid'
  const colon = lower.lastIndexOf(':')
  const name = colon < 0 ? lower : lower.slice(0, colon)
  return name.endsWith('.') ? name.slice(0, -1) : name
}

function isPrivateAddress(address: string): boolean {
  if (address.includes(':')) return /^(::1?|f[cd][0-9a-f]{2}:.*|fe[89ab][0-9a-f]:.*|::ffff:.*)$/.test(address)
  const [a = 0, b = 0] = address.split('.').map(Number)
  return a === 127 || a === 10 || a === 0 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168) || (a === 169 && b === 254)
}
