/**
 * What was used: `GET /admin/usage`, sums by any of tenant, subject, model, node, route, cache and day, and
 * `GET /admin/requests/history`, the requests one by one. An admin sees its own tenant, the operator all.
 */
import type { Context, Hono } from 'hono'

import { isOperator } from '../../identity/grants.ts'
import { parseHistoryQuery, UsageHistory } from '../../limits/usage-history.ts'
import { parseUsageQuery, sumUsage } from '../../limits/usage-query.ts'
import type { Database } from '../../store/database.ts'
import type { Guard } from '../auth/guard.ts'
import type { NodeBindings } from '../server.ts'
import { json, operatorRoute, type OperatorRouteDeps } from './operator-route.ts'

export interface UsageRoutesDeps extends OperatorRouteDeps {
  readonly database: Database
  /** Of the installation: signs cursors. */
  readonly secret: string
  readonly guard: Guard
  /** Writes what waits, so that the sums hold all that has ended. */
  readonly flush: () => Promise<void>
}

/** Adds the routes. Must come before `/admin/*` as a whole. */
export function mountUsage(app: Hono<NodeBindings>, deps: UsageRoutesDeps): void {
  const history = new UsageHistory(deps.database, deps.secret)
  const withinOf = (context: Context<NodeBindings>): string | null => {
    const by = deps.guard.principalOf(context.env.incoming)
    return isOperator(by) ? null : by.tenant
  }
  app.get(
    '/admin/usage',
    operatorRoute(deps, async (context) => {
      const query = parseUsageQuery(context.req.query())
      await deps.flush()
      return json(context, { usage: await sumUsage(deps.database, query, withinOf(context)) })
    }),
  )
  app.get(
    '/admin/requests/history',
    operatorRoute(deps, async (context) => {
      const query = parseHistoryQuery(context.req.query())
      await deps.flush()
      return json(context, await history.read(query, withinOf(context)))
    }),
  )
}
