/**
 * What Corral's own routes ask of a caller. Health is open, since balancers have no keys; everything that is not listed here
 * asks for the operator, so a route that somebody adds and forgets is closed.
 */
import { dialectOfPath } from '../../wire/routes.ts'
import type { Wanted } from './guard.ts'

const open = new Set(['/livez', '/startupz', '/readyz', '/llms.txt', '/rag/openapi.json'])
/** Routes on which an admin of any tenant acts, within that tenant. */
const ofEveryAdmin = ['/admin/keys', '/admin/tenants', '/admin/audit', '/admin/usage', '/admin/requests/history']
/** The chain goes through the entries of all tenants. */
const ofOperator = new Set(['/admin/audit/verify'])
/** Answers to whoever sent that request, and to its admins: the route itself knows whose it was. */
const explain = /^\/admin\/requests\/[^/]+\/explain$/
const readers = new Set(['GET', 'HEAD'])
/** Readers of documents may say what they think of an answer. */
const feedback = /^\/rag\/answers\/[^/]+\/feedback$/

/** What a request for this path, without its query, must be allowed. */
export function wantedOfOwn(method: string, path: string): Wanted {
  const dialect = dialectOfPath(path)
  if (open.has(path)) return { pattern: path, scope: null, operatorOnly: false, dialect }
  if (isConsole(path)) {
    // Its files hold nothing secret; a session is opened with a credential, asked after and ended by anybody.
    return { pattern: '/console/*', scope: path === '/console/session' && method === 'POST' ? 'any' : null, operatorOnly: false, dialect }
  }
  if (path === '/docs' || path.startsWith('/docs/')) return { pattern: '/docs/*', scope: null, operatorOnly: false, dialect }
  if (path === '/metrics') return { pattern: path, scope: 'metrics', operatorOnly: false, dialect }
  if (path === '/rag' || path.startsWith('/rag/')) {
    const scope = readers.has(method) || feedback.test(path) ? 'rag:read' : 'rag:write'
    return { pattern: '/rag/*', scope, operatorOnly: false, dialect }
  }
  const shared =
    path.includes('/.') || ofOperator.has(path) ? undefined : ofEveryAdmin.find((base) => path === base || path.startsWith(`${base}/`))
  if (shared !== undefined) return { pattern: `${shared}/*`, scope: 'admin', operatorOnly: false, dialect }
  if (readers.has(method) && explain.test(path))
    return { pattern: '/admin/requests/:id/explain', scope: 'any', operatorOnly: false, dialect }
  return { pattern: path.startsWith('/admin/') ? '/admin/*' : '/*', scope: 'admin', operatorOnly: true, dialect }
}

function isConsole(path: string): boolean {
  return path === '/console' || path.startsWith('/console/')
}

const smallBytesMax = 65_536
const jsonBytesMax = 1_048_576

/** What the body of a request for this path may declare; the route that reads documents as they come has a limit of its own. */
export function bodyBytesMaxOf(method: string, path: string): number {
  if (!path.startsWith('/rag/')) return smallBytesMax
  return method === 'POST' && /^\/rag\/collections\/[^/]+\/documents$/.test(path) ? Infinity : jsonBytesMax
}
