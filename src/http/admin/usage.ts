/** `GET /admin/usage`: sums of what was used, by any of tenant, subject, model, node, route, cache and day. An admin sees its own tenant. */
import type { Hono } from 'hono'

import { isOperator } from '../../identity/grants.ts'
import { parseUsageQuery, sumUsage } from '../../limits/usage-query.ts'
import type { Database } from '../../store/database.ts'
import type { Guard } from '../auth/guard.ts'
import type { NodeBindings } from '../server.ts'
import { json, operatorRoute, type OperatorRouteDeps } from './operator-route.ts'

export interface UsageRoutesDeps extends OperatorRouteDeps {
  readonly database: Database
  readonly guard: Guard
  /** Writes what waits, so that the sums hold all that has ended. */
  readonly flush: () => Promise<void>
}

/** Adds the route. Must come before `/admin/*` as a whole. */
export function mountUsage(app: Hono<NodeBindings>, deps: UsageRoutesDeps): void {
  app.get(
    '/admin/usage',
    operatorRoute(deps, async (context) => {
      const query = parseUsageQuery(context.req.query())
      const by = deps.guard.principalOf(context.env.incoming)
      await deps.flush()
      return json(context, { usage: await sumUsage(deps.database, query, isOperator(by) ? null : by.tenant) })
    }),
  )
}
