/**
 * The operator's routes: what the fleet does now, which requests are under way, and changes to nodes. A change needs a JSON
 * content type or no `Origin`, so that a foreign web page cannot make one with a plain form. Errors are RFC 9457 problems.
 */
import type { Context, Hono } from 'hono'

import type { Clock } from '../../base/clock.ts'
import { CorralError, toCorralError } from '../../core/errors.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { nodeOptions, type NodeOptions } from '../../fleet/options.ts'
import { type FleetView, maskUrl, snapshotFleet } from '../../fleet/snapshot.ts'
import { renderError } from '../../wire/render-error.ts'
import { readBody } from '../body.ts'
import type { CallRegistry } from '../call-registry.ts'
import type { NodeBindings } from '../server.ts'
import { snapshotCall } from './snapshot-call.ts'

export interface AdminDeps {
  readonly fleet: FleetView & Pick<Fleet, 'addNode' | 'removeNode' | 'setDraining'>
  readonly calls: CallRegistry
  readonly clock: Clock
  readonly newId: () => string
  /** False: the routes answer as if they were not there. */
  readonly enabled: () => boolean
  /** Reports a change that an operator made. */
  readonly onChange?: (action: string, target: string) => void
  readonly onBug?: (error: unknown) => void
}

type Handler = (context: Context<NodeBindings>) => Response | Promise<Response>

/** Bytes of a request body; a node's description is small. */
const bodyBytesMax = 65_536
const bodyPauseMsMax = 10_000

/** Adds the routes under `/admin`. */
export function mountAdmin(app: Hono<NodeBindings>, deps: AdminDeps): void {
  const { fleet, calls, clock } = deps
  const on = (method: 'GET' | 'POST' | 'DELETE', path: string, handler: Handler): void => {
    app.on(method, path, guarded(deps, method === 'GET' ? handler : sameSite(handler)))
  }
  on('GET', '/admin/fleet', (context) => json(context, snapshotFleet(fleet, clock.nowMs())))
  on('GET', '/admin/requests', (context) => {
    const nowMs = clock.nowMs()
    return json(context, { requests: calls.list().map(({ call, route }) => snapshotCall(call, route, nowMs)) })
  })
  on('DELETE', '/admin/requests/:id', (context) => {
    const id = parameter(context, 'id')
    if (!calls.cancel(id, new CorralError('client_gone', 'cancelled by an operator'))) {
      throw new CorralError('route_not_found', `no request ${id.slice(0, 64)} is under way`)
    }
    deps.onChange?.('cancel request', id)
    return context.body(null, 204)
  })
  on('POST', '/admin/nodes', async (context) => {
    const node = await fleet.addNode(await readNode(context, clock))
    deps.onChange?.('add node', node.name)
    return json(context, { name: node.name, url: maskUrl(node.options.url), up: node.up, downReason: node.downReason }, 201)
  })
  on('DELETE', '/admin/nodes/:name', (context) => {
    const name = parameter(context, 'name')
    fleet.removeNode(name)
    deps.onChange?.('remove node', name)
    return context.body(null, 204)
  })
  for (const [action, draining] of [
    ['drain', true],
    ['undrain', false],
  ] as const) {
    on('POST', `/admin/nodes/:name/${action}`, (context) => {
      const node = fleet.setDraining(parameter(context, 'name'), draining)
      deps.onChange?.(action, node.name)
      return json(context, { name: node.name, draining: node.draining })
    })
  }
  app.all(
    '/admin/*',
    guarded(deps, (context) => {
      throw new CorralError('route_not_found', `no such route: ${context.req.method} ${context.req.path.slice(0, 200)}`)
    }),
  )
}

function json(context: Context<NodeBindings>, value: object, status: 200 | 201 = 200): Response {
  return context.json(value, status, { 'cache-control': 'no-store' })
}

function parameter(context: Context<NodeBindings>, name: string): string {
  return context.req.param(name) ?? ''
}

/** Turns whatever a handler throws into a problem document. */
function guarded(deps: AdminDeps, handler: Handler): Handler {
  return async (context) => {
    try {
      if (!deps.enabled()) throw new CorralError('route_not_found', 'the operator routes are switched off (features.admin)')
      return await handler(context)
    } catch (thrown) {
      const error = toCorralError(thrown)
      if (error.code === 'internal') deps.onBug?.(thrown)
      const requestId = deps.newId()
      const { status, headers, body } = renderError('problem', error, requestId)
      return new Response(new Uint8Array(body), { status, headers: { ...headers, 'x-request-id': requestId, 'cache-control': 'no-store' } })
    }
  }
}

function sameSite(handler: Handler): Handler {
  return (context) => {
    const isJson = (context.req.header('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() === 'application/json'
    if (context.req.header('origin') !== undefined && !isJson) {
      throw new CorralError('origin_refused', 'a change from a web page needs the content type application/json')
    }
    return handler(context)
  }
}

async function readNode(context: Context<NodeBindings>, clock: Clock): Promise<NodeOptions> {
  const body = await new Promise<Buffer>((onBody, onBodyError) => {
    readBody(
      context.env.incoming,
      {
        bytesMax: bodyBytesMax,
        bytesMaxName: 'the limit of operator routes',
        bytesMaxTogether: Infinity,
        pauseMsMax: bodyPauseMsMax,
        declaredBytes: null,
        clock,
        arrivedAtMs: clock.nowMs(),
      },
      { onBody, onBodyError },
    )
  })
  let value: unknown
  try {
    value = JSON.parse(body.toString())
  } catch {
    throw new CorralError('invalid_request', 'the body is no JSON')
  }
  const parsed = nodeOptions.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new CorralError('invalid_request', `node: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is invalid'}`)
}
