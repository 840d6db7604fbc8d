/**
 * The routes of Ollama 0.33, one row each (ollama-contract.md §1.1 and §8), and how a path is matched the way its server
 * does it: exact words, one parameter per pattern at most, redirects for slashes and dot segments, `Allow` for a wrong
 * method. Pure data and functions.
 */
import type { Scope } from '../core/principal.ts'
import type { Dialect, Framing, Operation, Placement, RouteFacts, Terminator } from '../core/route.ts'

interface RouteRow {
  readonly methods?: readonly string[]
  readonly operation: Operation
  readonly placement: Placement
  /** How a streamed answer ends; absent where the route never streams. */
  readonly stream?: Terminator
  readonly body?: RouteFacts['body']
  /** Where it is another than that of the operation. */
  readonly scope?: Scope
}

const get = ['GET'] as const
const getOrHead = ['GET', 'HEAD'] as const
const post = ['POST'] as const

function dialectOf(path: string): Dialect {
  if (path.startsWith('/v1/messages')) return 'anthropic'
  if (path.startsWith('/v1/') || path === '/v1') return 'openai'
  if (path.startsWith('/admin') || path.startsWith('/rag') || path.startsWith('/console')) return 'problem'
  return 'ollama'
}

function toFacts(pattern: string, row: RouteRow): RouteFacts {
  const dialect = dialectOf(pattern)
  const streams = row.stream !== undefined
  const framing: Framing = !streams ? 'none' : dialect === 'ollama' ? 'ndjson' : 'sse'
  const methods = row.methods ?? post
  const body = row.body ?? (methods.includes('GET') ? 'none' : 'json')
  return {
    pattern,
    methods,
    dialect,
    operation: row.operation,
    placement: row.placement,
    framing,
    terminator: row.stream ?? 'none',
    streamsByDefault: streams && dialect === 'ollama',
    streams,
    body,
    scope: row.placement === 'local' ? null : (row.scope ?? scopeOf[row.operation]),
    acceptsZstd: zstdRoutes.has(pattern),
  }
}

/** What each operation asks of a caller's credential. */
const scopeOf: Readonly<Record<Operation, Scope>> = {
  chat: 'chat',
  generate: 'chat',
  embed: 'embed',
  show: 'models:read',
  list: 'models:read',
  manage: 'models:write',
  other: 'relay',
}

/** Routes that decode `Content-Encoding: zstd` (ollama-contract.md §1.2). */
const zstdRoutes = new Set(['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/responses', '/v1/messages'])

const table: Readonly<Record<string, RouteRow>> = {
  '/api/chat': { operation: 'chat', placement: 'one', stream: 'done' },
  '/api/generate': { operation: 'generate', placement: 'one', stream: 'done' },
  '/v1/chat/completions': { operation: 'chat', placement: 'one', stream: 'openai' },
  '/v1/messages': { operation: 'chat', placement: 'one', stream: 'anthropic' },
  '/v1/responses': { operation: 'chat', placement: 'one', stream: 'responses' },
  '/v1/completions': { operation: 'generate', placement: 'one', stream: 'openai' },
  '/api/embed': { operation: 'embed', placement: 'split' },
  '/v1/embeddings': { operation: 'embed', placement: 'split' },
  '/api/embeddings': { operation: 'embed', placement: 'one' },
  '/': { methods: getOrHead, operation: 'other', placement: 'local' },
  '/api/version': { methods: getOrHead, operation: 'list', placement: 'aggregate' },
  '/api/tags': { methods: getOrHead, operation: 'list', placement: 'aggregate' },
  '/api/ps': { methods: get, operation: 'list', placement: 'aggregate' },
  '/api/status': { methods: get, operation: 'list', placement: 'aggregate' },
  '/v1/models': { methods: get, operation: 'list', placement: 'aggregate' },
  '/v1/models/:model': { methods: get, operation: 'show', placement: 'one' },
  '/api/show': { operation: 'show', placement: 'one' },
  '/api/pull': { operation: 'manage', placement: 'targets', stream: 'success' },
  '/api/create': { operation: 'manage', placement: 'targets', stream: 'success' },
  '/api/push': { operation: 'manage', placement: 'pinned', stream: 'success' },
  '/api/copy': { operation: 'manage', placement: 'broadcast' },
  '/api/delete': { methods: ['DELETE'], operation: 'manage', placement: 'broadcast' },
  '/api/blobs/:digest': { methods: ['HEAD', 'POST'], operation: 'manage', placement: 'blob', body: 'bytes' },
  // The account of a node at ollama.com is its operator's.
  '/api/me': { operation: 'other', placement: 'pinned', scope: 'admin' },
  '/api/signout': { operation: 'other', placement: 'pinned', scope: 'admin' },
  '/api/user/keys/:encodedKey': { methods: ['DELETE'], operation: 'other', placement: 'pinned', scope: 'admin' },
  '/api/experimental/web_search': { operation: 'other', placement: 'pinned' },
  '/api/experimental/web_fetch': { operation: 'other', placement: 'pinned' },
  '/api/experimental/model-recommendations': { methods: get, operation: 'other', placement: 'relay' },
  '/v1/audio/transcriptions': { operation: 'other', placement: 'one', body: 'multipart' },
}

/** Every known route. */
export const routes: readonly RouteFacts[] = Object.entries(table).map(([pattern, row]) => toFacts(pattern, row))

const exactRoutes = new Map<string, RouteFacts>()
const prefixRoutes: { readonly prefix: string; readonly facts: RouteFacts }[] = []
for (const facts of routes) {
  const colon = facts.pattern.indexOf(':')
  if (colon < 0) exactRoutes.set(facts.pattern, facts)
  else prefixRoutes.push({ prefix: facts.pattern.slice(0, colon), facts })
}

export type RouteMatch =
  | { readonly kind: 'route'; readonly facts: RouteFacts; readonly parameter: string | null }
  | { readonly kind: 'method-not-allowed'; readonly allow: string }
  | { readonly kind: 'redirect'; readonly status: 301 | 307; readonly location: string }
  | { readonly kind: 'unknown' }

/** Matches a path without its query. A parameter is one segment; `path` is taken as already decoded. */
export function matchRoute(method: string, path: string): RouteMatch {
  const cleaned = cleanPath(path)
  if (cleaned !== path) return { kind: 'redirect', status: 307, location: cleaned }
  const found = findRoute(path)
  if (found !== null) {
    if (found.facts.methods.includes(method)) return { kind: 'route', ...found }
    return { kind: 'method-not-allowed', allow: allowOf(found.facts) }
  }
  const trimmed = path.endsWith('/') ? path.slice(0, -1) : null
  if (trimmed !== null && trimmed !== '' && findRoute(trimmed)?.facts.methods.includes(method) === true) {
    return { kind: 'redirect', status: method === 'GET' ? 301 : 307, location: trimmed }
  }
  return { kind: 'unknown' }
}

/** In the order of gin's method trees: HEAD comes first (transcripts 018, 021). */
function allowOf({ methods }: RouteFacts): string {
  return methods.includes('HEAD') ? ['HEAD', ...methods.filter((method) => method !== 'HEAD')].join(', ') : methods.join(', ')
}

function findRoute(path: string): { facts: RouteFacts; parameter: string | null } | null {
  const exact = exactRoutes.get(path)
  if (exact !== undefined) return { facts: exact, parameter: null }
  for (const { prefix, facts } of prefixRoutes) {
    if (!path.startsWith(prefix)) continue
    const parameter = path.slice(prefix.length)
    if (parameter !== '' && !parameter.includes('/')) return { facts, parameter }
  }
  return null
}

/** What Go's mux makes of doubled slashes and dot segments; a trailing slash stays. */
function cleanPath(path: string): string {
  if (!path.includes('//') && !path.includes('/.')) return path
  const kept: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue
    if (segment === '..') kept.pop()
    else kept.push(segment)
  }
  return `/${kept.join('/')}${path.endsWith('/') && kept.length > 0 ? '/' : ''}`
}

/** The dialect in which an error on this request target is written. */
export function dialectOfPath(target: string): Dialect {
  return dialectOf(target)
}

const unknownFacts = new Map<Dialect, RouteFacts>()

/** Facts of a route that this table does not know: passed on to one node, opaque bytes both ways. */
export function unknownRouteFor(path: string): RouteFacts {
  const dialect = dialectOf(path)
  let facts = unknownFacts.get(dialect)
  if (facts === undefined) {
    facts = {
      pattern: dialect === 'ollama' ? '/api/*' : '/v1/*',
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      dialect,
      operation: 'other',
      placement: 'relay',
      framing: 'none',
      terminator: 'none',
      streamsByDefault: true,
      streams: true,
      body: 'json',
      scope: scopeOf.other,
      acceptsZstd: false,
    }
    unknownFacts.set(dialect, facts)
  }
  return facts
}
