/**
 * The operator's routes: what the fleet does now, which requests are under way, and changes to nodes. A change needs a JSON
 * content type or no `Origin`, so that a foreign web page cannot make one with a plain form. Errors are RFC 9457 problems.
 */
import type { Context, Hono } from 'hono'

import type { Clock } from '../../base/clock.ts'
import { CorralError } from '../../core/errors.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { nodeOptions, type NodeOptions } from '../../fleet/options.ts'
import { type FleetView, maskUrl, snapshotFleet } from '../../fleet/snapshot.ts'
import type { Act } from '../../identity/key-store.ts'
import type { Told } from '../../observe/events.ts'
import type { Guard } from '../auth/guard.ts'
import type { CallRegistry } from '../call-registry.ts'
import type { NodeBindings } from '../server.ts'
import { actOf, type Handler, json, ownRoute, parameter, readJson, sameSite } from '../own-route.ts'
import { cancelledByOperator, leftOutOf } from '../peer-answers.ts'
import { type Coverage, coverageOf, noPeers, type Peers } from '../peers.ts'
import { wholeFleet } from '../whole-fleet.ts'
import type { NodeChanges } from './node-changes.ts'
import { snapshotCalls } from './snapshot-call.ts'

export interface AdminDeps {
  readonly fleet: FleetView & Pick<Fleet, 'byHand'>
  readonly nodes: Pick<NodeChanges, 'add' | 'remove' | 'setDraining' | 'isKept'>
  readonly calls: CallRegistry
  /** The other processes of this gateway; left out: there are none. */
  readonly peers?: Peers
  readonly clock: Clock
  readonly newId: () => string
  /** False: the routes answer as if they were not there. */
  readonly enabled: () => boolean
  readonly guard: Guard
  /** Reports a change that an operator made. */
  readonly onChange?: (action: string, target: string, act: Act) => void
  readonly onBug?: (error: unknown, told: Told) => void
}

/** Adds the routes under `/admin`. */
export function mountAdmin(app: Hono<NodeBindings>, deps: AdminDeps): void {
  const { fleet, nodes, calls, clock, peers = noPeers } = deps
  const on = (method: 'GET' | 'POST' | 'DELETE', path: string, handler: Handler): void => {
    app.on(method, path, ownRoute(deps, method === 'GET' ? handler : sameSite(handler)))
  }
  const changed = (context: Context<NodeBindings>, action: string, target: string): void =>
    deps.onChange?.(action, target, actOf(context, deps))
  on('GET', '/admin/fleet', async (context) => {
    const others = await peers.ask({ kind: 'fleet' })
    const seen = others.flatMap((answer) => answer.fleet ?? [])
    const changedByHand = [...fleet.byHand()].map(([name, { kind }]) => ({ name, kind }))
    return json(context, { ...wholeFleet(snapshotFleet(fleet, clock.nowMs()), seen), changedByHand, coverage: coverageOf(others) })
  })
  on('GET', '/admin/requests', async (context) => {
    const others = await peers.ask({ kind: 'requests' })
    const requests = [...snapshotCalls(calls, clock.nowMs()), ...others.flatMap((other) => other.requests ?? [])]
    return json(context, { requests, leftOut: leftOutOf(others), coverage: coverageOf(others) })
  })
  on('DELETE', '/admin/requests/:id', async (context) => {
    const id = parameter(context, 'id')
    const others = calls.cancel(id, cancelledByOperator()) ? [{ cancelled: true }] : await peers.ask({ kind: 'cancel', id })
    if (!others.some(({ cancelled }) => cancelled === true)) {
      throw new CorralError('route_not_found', `no request ${id.slice(0, 64)} is under way${exceptAt(coverageOf(others))}`)
    }
    changed(context, 'cancel request', id)
    return context.body(null, 204)
  })
  on('POST', '/admin/nodes', async (context) => {
    const options = await readNode(context, clock)
    const node = await nodes.add(options)
    const { name, up, downReason } = node
    changed(context, 'add node', name)
    return json(context, { name, url: maskUrl(node.options.url), up, downReason, kept: nodes.isKept(name) }, 201)
  })
  on('DELETE', '/admin/nodes/:name', async (context) => {
    const name = parameter(context, 'name')
    await nodes.remove(name)
    changed(context, 'remove node', name)
    return context.body(null, 204)
  })
  for (const [action, draining] of [
    ['drain', true],
    ['undrain', false],
  ] as const) {
    on('POST', `/admin/nodes/:name/${action}`, async (context) => {
      const node = await nodes.setDraining(parameter(context, 'name'), draining)
      changed(context, action, node.name)
      return json(context, { name: node.name, draining: node.draining, kept: nodes.isKept(node.name) })
    })
  }
  app.all(
    '/admin/*',
    ownRoute(deps, (context) => {
      throw new CorralError('route_not_found', `no such route: ${context.req.method} ${context.req.path.slice(0, 200)}`)
    }),
  )
}

/** Where it may be so all the same. */
function exceptAt({ silent, redisAway }: Coverage): string {
  if (redisAway) return ' here; Redis is away, so that nothing is known of other replicas'
  return silent === 0 ? '' : ` where it was asked; processes that did not answer: ${silent}`
}

async function readNode(context: Context<NodeBindings>, clock: Clock): Promise<NodeOptions> {
  return readJson(context, { clock, what: 'node', shape: nodeOptions })
}
