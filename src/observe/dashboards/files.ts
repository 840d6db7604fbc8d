/** All dashboards as the files that Grafana is given. */
import { defaultServiceLevel, type ServiceLevel } from '../service-level.ts'
import { type DashboardHead, renderDashboard } from './dashboard.ts'
import { documents } from './documents.ts'
import { fleet } from './fleet.ts'
import { inference } from './inference.ts'
import { overview } from './overview.ts'
import { runtime } from './runtime.ts'

/** The dashboards for a promise. */
export function dashboardsFor(level: ServiceLevel = defaultServiceLevel): readonly DashboardHead[] {
  return [overview(level), inference, fleet, documents, runtime]
}

/** File name to JSON text. */
export function renderDashboards(level?: ServiceLevel): ReadonlyMap<string, string> {
  return new Map(dashboardsFor(level).map((head) => [`${head.uid}.json`, `${JSON.stringify(renderDashboard(head), null, 2)}\n`]))
}
