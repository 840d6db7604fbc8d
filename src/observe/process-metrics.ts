/** Memory, CPU, open files and event loop of this process, under the names every Node dashboard knows. */
import { collectDefaultMetrics, Registry } from 'prom-client'

/** Names that `promtool check metrics` rejects, and figures nobody needs. */
const dropped = [
  'nodejs_eventloop_utilization_summary',
  'nodejs_eventloop_utilization_histogram',
  'nodejs_active_resources',
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
  'nodejs_active_handles',
  'nodejs_active_requests',
]

/** The longest delay that a timer can have, some 25 days. */
const never = 2 ** 31 - 1

function createRegistry(): Registry {
  const registry = new Registry()
  // Each look wakes the process: an idle gateway would wake for little else. The utilization, which looks ten times a second, is dropped.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 50, eventLoopUtilizationTimeout: never })
  for (const name of dropped) registry.removeSingleMetric(name)
  return registry
}

/** Renders the text of a scrape. The collection starts now, or else with the first scrape. The library misspells NaN. */
export function startProcessMetrics(now: boolean): () => Promise<string> {
  let registry = now ? createRegistry() : null
  return async () => {
    registry ??= createRegistry()
    return (await registry.metrics()).replaceAll(' Nan\n', ' NaN\n')
  }
}
