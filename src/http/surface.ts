/**
 * The routes as Hono sees them. One table (`wire/routes.ts`) says everything about a route, so every surface that a node
 * answers shares one handler; only blobs (never buffered) and Corral's own routes have others. What the table does not
 * know is answered as a real Ollama does, or relayed.
 */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type Context, Hono } from 'hono'

import type { RouteFacts } from '../core/route.ts'
import { routes, unknownRouteFor, matchRoute } from '../wire/routes.ts'
import { mountAdmin, type AdminDeps } from './admin/admin.ts'
import { handleBlobUpload, type BlobDeps } from './inference/blob.ts'
import { handleInference, type InferenceDeps } from './inference/handler.ts'
import { mountHealth, type HealthDeps } from './health/health.ts'
import type { NodeBindings } from './server.ts'

export interface SurfaceDeps {
  readonly inference: InferenceDeps
  readonly blobs: BlobDeps
  readonly admin: AdminDeps
  readonly health: HealthDeps
  readonly onBug: (error: unknown) => void
}

type Handler = (context: Context<NodeBindings>) => Promise<Response>

export function createSurface(deps: SurfaceDeps): Hono<NodeBindings> {
  const app = new Hono<NodeBindings>()
  mountHealth(app, deps.health)
  mountAdmin(app, deps.admin)
  for (const facts of routes) app.all(facts.pattern, routeHandler(deps, facts))
  app.notFound(unmatched(deps))
  app.onError((error) => {
    deps.onBug(error)
    return new Response(null, { status: 500 })
  })
  return app
}

function routeHandler(deps: SurfaceDeps, facts: RouteFacts): Handler {
  if (facts.placement === 'local') return liveness(facts)
  const [fixed = '', parameter = ''] = facts.pattern.split(':')
  return async (context) => {
    const { incoming, outgoing } = context.env
    if (!facts.methods.includes(incoming.method ?? '')) return wrongMethod(facts.methods)
    const value = parameter === '' ? null : (context.req.param(parameter) ?? '')
    if (value?.includes('/') === true) return notFound()
    const path = value === null ? facts.pattern : fixed + encodeURIComponent(value).replaceAll('%3A', ':')
    const pathModel = parameter === 'model' ? value : null
    const exchange = { incoming, outgoing, facts, path, pathModel }
    if (facts.placement === 'blob' && incoming.method === 'POST') await handleBlobUpload(deps.blobs, exchange)
    else await handleInference(deps.inference, exchange)
    return RESPONSE_ALREADY_SENT
  }
}

/** `GET /`: what every client takes for a sign of life. */
function liveness(facts: RouteFacts): Handler {
  return (context) => {
    if (!facts.methods.includes(context.env.incoming.method ?? '')) return Promise.resolve(wrongMethod(facts.methods))
    return Promise.resolve(context.text('Ollama is running', 200, { 'content-type': 'text/plain; charset=utf-8' }))
  }
}

/** Gin's own bodies, without a charset (transcripts 006, 016). */
function wrongMethod(methods: readonly string[]): Response {
  return new Response('405 method not allowed', { status: 405, headers: { allow: methods.join(', '), 'content-type': 'text/plain' } })
}

function notFound(): Response {
  return new Response('404 page not found', { status: 404, headers: { 'content-type': 'text/plain' } })
}

/** Routes of later Ollama versions are passed on to a node; Corral's own prefixes never are. */
function unmatched(deps: SurfaceDeps): Handler {
  return async (context) => {
    const { incoming, outgoing } = context.env
    const { path } = context.req
    const match = matchRoute(incoming.method ?? 'GET', path)
    if (match.kind === 'method-not-allowed') return wrongMethod(match.allow.split(', '))
    if (!isRelayed(path)) return notFound()
    await handleInference(deps.inference, { incoming, outgoing, facts: unknownRouteFor(path), path, pathModel: null })
    return RESPONSE_ALREADY_SENT
  }
}

/** `/debug` could expose a node's profiler; everything outside Ollama's two prefixes is ours or nobody's. */
function isRelayed(path: string): boolean {
  return path.startsWith('/api/') || path.startsWith('/v1/')
}
