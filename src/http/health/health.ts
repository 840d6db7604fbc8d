/**
 * Signs of life for orchestrators and load balancers, and the scrape. `/livez` says that the process turns, `/startupz` that its start is over,
 * `/readyz` that it can serve: a front balancer then takes a replica out while it drains or has no node. None of them does any I/O.
 */
import type { Context, Hono } from 'hono'

import { expositionOf } from '../../observe/exposition.ts'
import type { RenderMetrics } from '../peer-answers.ts'
import type { NodeBindings } from '../server.ts'

export interface HealthDeps {
  /** Nodes and whether probes reach them. */
  readonly nodes: () => readonly { readonly name: string; readonly up: boolean | null; readonly downReason: string | null }[]
  readonly draining: () => boolean
  /** Whether what a start does is done, well or not. */
  readonly started: () => boolean
  /** False: `/metrics` answers as if it were not there. */
  readonly metricsEnabled: () => boolean
  readonly renderMetrics: RenderMetrics
  /** Prometheus has read the metrics. */
  readonly onScraped: () => void
}

interface Readiness {
  readonly ready: boolean
  readonly reasons: readonly string[]
  readonly nodesUp: number
  readonly nodes: number
}

/** Adds `/livez`, `/startupz`, `/readyz` and `/metrics`. */
export function mountHealth(app: Hono<NodeBindings>, deps: HealthDeps): void {
  app.get('/livez', (context) => context.json({ status: 'ok' }, 200, noStore))
  app.get('/startupz', (context) => {
    const started = deps.started()
    return context.json({ started }, started ? 200 : 503, noStore)
  })
  app.get('/readyz', (context) => {
    const readiness = judge(deps)
    return context.json(readiness, readiness.ready ? 200 : 503, noStore)
  })
  app.get('/metrics', (context) => (deps.metricsEnabled() ? scrape(context, deps) : context.notFound()))
}

const noStore = { 'cache-control': 'no-store' }

function judge({ nodes, draining }: HealthDeps): Readiness {
  const all = nodes()
  const nodesUp = all.filter((node) => node.up === true).length
  const reasons: string[] = []
  if (draining()) reasons.push('shutting down')
  if (all.length === 0) reasons.push('no node is configured')
  else if (nodesUp === 0) reasons.push(...all.map((node) => `${node.name}: ${node.downReason ?? 'not probed yet'}`))
  return { ready: reasons.length === 0, reasons, nodesUp, nodes: all.length }
}

/** In OpenMetrics, with exemplars, for whoever asks for it, as Prometheus does. */
async function scrape(
  context: Context<NodeBindings>,
  { renderMetrics, onScraped }: Pick<HealthDeps, 'renderMetrics' | 'onScraped'>,
): Promise<Response> {
  const { contentType, body } = await renderMetrics(expositionOf(context.req.header('accept')))
  // Prometheus and what is built on its scraper send it; `corral doctor`, a browser and curl do not.
  if (context.req.header('x-prometheus-scrape-timeout-seconds') !== undefined) onScraped()
  return context.body(body, 200, { 'content-type': contentType, vary: 'Accept', ...noStore })
}
