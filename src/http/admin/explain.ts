/**
 * `GET /admin/requests/:id/explain`: why a request that asked for it went where it went, as steps and in sentences. For whoever sent
 * it, an admin of its tenant, and the operator; to anybody else it is a request that never was.
 */
import type { Hono } from 'hono'

import { CorralError } from '../../core/errors.ts'
import type { Principal } from '../../core/principal.ts'
import { isOperator } from '../../identity/grants.ts'
import type { ExplainedRequest, Explanations } from '../../observe/explained.ts'
import type { Guard } from '../auth/guard.ts'
import { json, ownRoute, type OwnRouteDeps, parameter } from '../own-route.ts'
import { noPeers, type Peers } from '../peers.ts'
import type { NodeBindings } from '../server.ts'
import { summaryOf } from './explain-words.ts'
import type { ExplanationShelf } from './explanation-shelf.ts'

export interface ExplainRoutesDeps extends OwnRouteDeps {
  readonly explanations: Explanations
  /** Those of other replicas. */
  readonly shelf: ExplanationShelf
  readonly peers?: Peers
  readonly guard: Guard
  /** False: users do not hear of nodes, and only the operator is answered. */
  readonly routeHeaders: () => boolean
}

/** Adds the route. Must come before `/admin/*` as a whole. */
export function mountExplain(app: Hono<NodeBindings>, deps: ExplainRoutesDeps): void {
  const { explanations, shelf, peers = noPeers, guard } = deps
  const find = async (id: string): Promise<ExplainedRequest | null> => {
    // Only what is still under way at another process, or was kept by none, has to be asked for.
    const known = explanations.find(id) ?? (await shelf.find(id))
    if (known !== null) return known
    const answers = await peers.ask({ kind: 'explain', id })
    return answers.find(({ explained }) => explained)?.explained ?? null
  }
  app.get(
    '/admin/requests/:id/explain',
    ownRoute(deps, async (context) => {
      const id = parameter(context, 'id')
      const by = guard.principalOf(context.env.incoming)
      const found = await find(id)
      if (found === null || !mayRead(by, found, deps.routeHeaders())) {
        throw new CorralError(
          'route_not_found',
          `no explanation of a request ${id.slice(0, 64)}: send X-Corral-Explain: true with the request`,
        )
      }
      return json(context, { ...found, summary: summaryOf(found) })
    }),
  )
}

function mayRead(by: Principal, { tenant, subject }: ExplainedRequest, isShownNodes: boolean): boolean {
  if (isOperator(by)) return true
  if (by.tenant !== tenant || !isShownNodes) return false
  return by.scopes.has('admin') || (subject !== null && by.subject === subject)
}
