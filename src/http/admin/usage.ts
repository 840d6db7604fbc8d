/**
 * What was used: `GET /admin/usage`, sums by any of tenant, subject, model, node, route, cache and day, and
 * `GET /admin/requests/history`, the requests one by one, both as JSON or CSV; and `GET /admin/requests/history/:id`, one of them with
 * its words, where those are kept. An admin sees its own tenant, the operator all.
 */
import type { Context, Hono } from 'hono'

import { CorralError } from '../../core/errors.ts'
import type { HistoryPage } from '../../core/request-history.ts'
import { isOperator } from '../../identity/grants.ts'
import { writeCsv, writeCsvRows } from '../../limits/usage-csv.ts'
import { historyColumns, parseHistoryQuery, UsageHistory } from '../../limits/usage-history.ts'
import { parseUsageQuery, sumColumns, sumsMax, sumUsage } from '../../limits/usage-query.ts'
import type { Database } from '../../store/database.ts'
import type { Guard } from '../auth/guard.ts'
import type { NodeBindings } from '../server.ts'
import { json, ownRoute, parameter, type OwnRouteDeps } from '../own-route.ts'

export interface UsageRoutesDeps extends OwnRouteDeps {
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
    ownRoute(deps, async (context) => {
      const query = parseUsageQuery(context.req.query())
      await deps.flush()
      const { usage, truncated } = await sumUsage(deps.database, query, withinOf(context))
      if (query.format === 'json') return json(context, { usage, truncated })
      // A table has no place to say that it is not whole.
      if (truncated) throw new CorralError('invalid_request', `by: more than ${sumsMax} rows: ${fewerSums}`)
      const rows = usage.map(({ group, ...sums }) => ({ ...group, ...sums }))
      return csv(writeCsv([...(query.by ?? []), ...sumColumns], rows))
    }),
  )
  app.get(
    '/admin/requests/history',
    ownRoute(deps, async (context) => {
      const query = parseHistoryQuery(context.req.query())
      await deps.flush()
      const within = withinOf(context)
      const page = await history.read(query, within)
      if (query.format === 'json') return json(context, page)
      const table = writeCsv(historyColumns, rowsOf(page))
      if (context.req.query('limit') !== undefined) return csv(table, linkTo(context, page.next))
      return csv(wholeTable({ table, next: page.next }, (before) => history.read({ ...query, limit: pageRowsMax, before }, within)))
    }),
  )
  app.get(
    '/admin/requests/history/:id',
    ownRoute(deps, async (context) => {
      await deps.flush()
      return json(context, await history.readOne(parameter(context, 'id'), withinOf(context)))
    }),
  )
}

const fewerSums = 'ask for a shorter time (from, to), one tenant, subject or model, or fewer groups'

/** Rows that are read at once for a table of all. */
const pageRowsMax = 1_000

function rowsOf({ requests }: HistoryPage): Record<string, unknown>[] {
  return requests.map((entry) => ({ ...entry }))
}

/** A table to its end, read page by page as its reader takes it. A page that cannot be read cuts it off. */
function wholeTable(
  begun: { readonly table: string; next: string | null },
  read: (before: string) => Promise<HistoryPage>,
): ReadableStream<Uint8Array> {
  let { next } = begun
  return new ReadableStream({
    start: (controller) => controller.enqueue(Buffer.from(begun.table)),
    async pull(controller) {
      if (next === null) {
        controller.close()
        return
      }
      const page = await read(next)
      next = page.next
      controller.enqueue(Buffer.from(writeCsvRows(historyColumns, rowsOf(page))))
    },
  })
}

function csv(text: string | ReadableStream<Uint8Array>, headers: Readonly<Record<string, string>> = {}): Response {
  const own = { 'content-type': 'text/csv; charset=utf-8', 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }
  return new Response(text, { headers: { ...own, ...headers } })
}

/** Where the next page is: a table has no place for it. */
function linkTo(context: Context<NodeBindings>, next: string | null): Record<string, string> {
  if (next === null) return {}
  const query = new URLSearchParams({ ...context.req.query(), before: next })
  return { link: `<${context.req.path}?${query.toString()}>; rel="next"` }
}
