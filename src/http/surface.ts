/**
 * From a request to the one who answers it. Ollama's own routes are matched by the table that says everything about them
 * (`wire/routes.ts`) and go straight to the inference handler; what the table does not know below `/api/` and `/v1/` is
 * passed on to a node, as routes of a later Ollama. Everything else is Corral's own and goes to the Hono app.
 */
import { Hono } from 'hono'

import type { Cache } from '../cache/layer.ts'
import { openPrincipal } from '../core/principal.ts'
import type { Relay } from '../core/relay.ts'
import type { Identity } from '../identity/identity.ts'
import type { Told } from '../observe/events.ts'
import type { Database } from '../store/database.ts'
import { matchRoute, type RouteMatch, unknownRouteFor } from '../wire/routes.ts'
import { type AdminDeps, mountAdmin } from './admin/admin.ts'
import { mountCache } from './admin/cache.ts'
import { type ExplainRoutesDeps, mountExplain } from './admin/explain.ts'
import { mountKeys } from './admin/keys.ts'
import { type LiveFeed, mountLive } from './admin/live.ts'
import { mountSettings, type SettingsRoutesDeps } from './admin/settings.ts'
import { mountUsage } from './admin/usage.ts'
import type { Guard, Passage } from './auth/guard.ts'
import { pathWithKey } from './auth/path-key.ts'
import { answerUnread, type Arrival, type Exchange } from './connection.ts'
import { type ConsoleDeps, mountConsole } from './console/console.ts'
import { type DocsDeps, mountDocs } from './docs/docs.ts'
import { type HealthDeps, mountHealth } from './health/health.ts'
import { type BlobDeps, handleBlobUpload } from './inference/blob.ts'
import type { Exchange as InferenceExchange, InferenceDeps } from './inference/exchange.ts'
import { handleInference, refuseInference } from './inference/handler.ts'
import { mountRag } from './rag/mount.ts'
import type { RagRoutes } from './rag/rag-routes.ts'
import type { NodeBindings } from './server.ts'
import { noteRoute, toldOf } from './traffic.ts'

export interface SurfaceDeps {
  readonly inference: InferenceDeps
  readonly blobs: BlobDeps
  readonly admin: AdminDeps
  /** Null: there is no store of keys, and no routes for them. */
  readonly identity: Identity | null
  readonly cache: Cache
  /** Null: usage is not kept. */
  readonly usage: { readonly database: Database; readonly secret: string; readonly flush: () => Promise<void> } | null
  /** Null: documents are switched off, or there is no store. */
  readonly rag: RagRoutes | null
  readonly health: HealthDeps
  readonly explain: Omit<ExplainRoutesDeps, keyof AdminDeps>
  readonly live: LiveFeed
  readonly console: ConsoleDeps
  readonly docs: DocsDeps
  readonly settings: Omit<SettingsRoutesDeps, keyof AdminDeps>
  readonly guard: Guard
  readonly onBug: (error: unknown, told?: Told) => void
}

/** Gin's own bodies, without a charset (transcripts 006, 016). */
const plain = { 'content-type': 'text/plain' }

/** Corral's own routes. */
export function createOwnRoutes(deps: Omit<SurfaceDeps, 'inference' | 'blobs' | 'guard'>): Hono<NodeBindings> {
  const app = new Hono<NodeBindings>()
  mountHealth(app, deps.health)
  mountConsole(app, deps.console)
  mountDocs(app, deps.docs)
  if (deps.identity !== null) mountKeys(app, { ...deps.admin, identity: deps.identity })
  if (deps.usage !== null) mountUsage(app, { ...deps.admin, ...deps.usage })
  mountExplain(app, { ...deps.admin, ...deps.explain })
  mountCache(app, { ...deps.admin, cache: deps.cache })
  mountRag(app, deps.rag, deps.admin)
  mountLive(app, { ...deps.admin, live: deps.live })
  mountSettings(app, { ...deps.admin, ...deps.settings })
  mountAdmin(app, deps.admin)
  app.notFound((context) => context.body('404 page not found', 404, plain))
  app.onError((error, { env: { outgoing } }) => {
    deps.onBug(error, toldOf(outgoing, deps.admin.newId))
    return new Response(null, { status: 500 })
  })
  return app
}

/** Answers a request for one of Ollama's routes; false: it is none. A bug costs this request a bare 500 and nothing else. */
export function answerOllamaRoute(deps: SurfaceDeps, arrival: Arrival): boolean {
  try {
    return dispatch(deps, arrival)
  } catch (error) {
    failed(deps, arrival, error)
    return true
  }
}

function failed({ onBug, inference }: SurfaceDeps, { incoming, outgoing }: Arrival, error: unknown): void {
  onBug(error)
  if (outgoing.headersSent) outgoing.destroy()
  else answerUnread({ incoming, outgoing, clock: inference.clock }, { status: 500, headers: {}, body: '' })
}

/** False: the path is none of Ollama's. */
function dispatch(deps: SurfaceDeps, arrival: Arrival): boolean {
  const { incoming, outgoing } = arrival
  const exchange: Exchange = { incoming, outgoing, clock: deps.inference.clock }
  const target = incoming.url ?? '/'
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  const match = matchRoute(incoming.method ?? 'GET', path)
  switch (match.kind) {
    case 'route':
      noteRoute(outgoing, match.facts.pattern)
      answerRoute(deps, arrival, { path, match })
      return true
    case 'method-not-allowed':
      answerUnread(exchange, { status: 405, headers: { ...plain, allow: match.allow }, body: '405 method not allowed' })
      return true
    case 'redirect':
      redirect(exchange, match, query < 0 ? '' : target.slice(query))
      return true
    case 'unknown':
      return dispatchUnknown(deps, arrival, path)
  }
}

/** What is no route of Ollama's: one of a later Ollama, one of `/rag` that is asked, or (false) Corral's own. */
function dispatchUnknown(deps: SurfaceDeps, arrival: Arrival, path: string): boolean {
  const asked = arrival.incoming.method === 'POST' ? deps.rag?.asked.get(path) : undefined
  if (asked !== undefined) {
    noteRoute(arrival.outgoing, asked.facts.pattern)
    answerGuarded(deps, arrival, { facts: asked.facts, path, pathModel: null, relay: asked.relay })
    return true
  }
  if (!path.startsWith('/api/') && !path.startsWith('/v1/')) return false
  const facts = unknownRouteFor(path)
  noteRoute(arrival.outgoing, facts.pattern)
  answerGuarded(deps, arrival, { facts, path, pathModel: null })
  return true
}

function answerRoute(
  deps: SurfaceDeps,
  arrival: Arrival,
  { path, match }: { path: string; match: Extract<RouteMatch, { kind: 'route' }> },
): void {
  const { facts, parameter } = match
  const { incoming, outgoing } = arrival
  const exchange: Exchange = { incoming, outgoing, clock: deps.inference.clock }
  if (facts.placement === 'local') {
    if (deps.console.enabled() && incoming.headers.accept?.includes('text/html') === true) {
      const location = pathWithKey(incoming, '/console/')
      answerUnread(exchange, { status: 302, headers: { location, vary: 'Accept', 'cache-control': 'no-store' }, body: '' })
      return
    }
    answerUnread(exchange, { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: 'Ollama is running' })
    return
  }
  const pathModel = parameter !== null && facts.pattern.endsWith(':model') ? decodeURIComponent(parameter) : null
  if (pathModel?.includes('/') === true) {
    answerUnread(exchange, { status: 404, headers: plain, body: '404 page not found' })
    return
  }
  const isUpload = facts.placement === 'blob' && incoming.method === 'POST'
  answerGuarded(deps, arrival, { facts, path, pathModel, ...(isUpload ? { isUpload } : {}) })
}

/** A matched route. `isUpload`: its body goes through as it comes. `relay`: who answers, where it is not the fleet behind its layers. */
interface Matched extends Pick<InferenceExchange, 'facts' | 'path' | 'pathModel'> {
  readonly isUpload?: boolean
  readonly relay?: Relay
}

/** Answers when the guard lets the request in; the body is not touched before. */
function answerGuarded(deps: SurfaceDeps, arrival: Arrival, { isUpload = false, relay, ...matched }: Matched): void {
  const { pattern, scope, dialect } = matched.facts
  const { incoming, outgoing, headers } = arrival
  const arrivedAtMs = deps.inference.clock.nowMs()
  const passed = (passage: Passage): void => {
    const isRefused = 'kind' in passage
    const exchange = { incoming, outgoing, headers, ...matched, arrivedAtMs, principal: isRefused ? openPrincipal : passage }
    if (isRefused) refuseInference(deps.inference, exchange, passage)
    else if (isUpload) handleBlobUpload(deps.blobs, exchange)
    else handleInference(deps.inference, exchange, relay)
  }
  const passage = deps.guard.admit(arrival, { pattern, scope, operatorOnly: scope === 'admin', dialect })
  if (!(passage instanceof Promise)) {
    passed(passage)
    return
  }
  // A client that left meanwhile gets nothing.
  const settled = passage.then((late) => {
    if (!outgoing.destroyed) passed(late)
  })
  settled.catch((error: unknown) => failed(deps, arrival, error))
}

/** As Go's mux and gin answer: a link for a GET, nothing else for other methods (transcripts 024–028). */
function redirect(exchange: Exchange, match: Extract<RouteMatch, { kind: 'redirect' }>, query: string): void {
  const { method } = exchange.incoming
  const location = pathWithKey(exchange.incoming, match.location) + query
  if (method !== 'GET' && method !== 'HEAD') {
    answerUnread(exchange, { status: match.status, headers: { location }, body: '' })
    return
  }
  const phrase = match.status === 301 ? 'Moved Permanently' : 'Temporary Redirect'
  const link = location.replaceAll('&', '&amp;').replaceAll('"', '&#34;').replaceAll('<', '&lt;')
  const headers = { 'content-type': 'text/html; charset=utf-8', location }
  answerUnread(exchange, { status: match.status, headers, body: `<a href="${link}">${phrase}</a>.\n\n` })
}
