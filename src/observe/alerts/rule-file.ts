/** The rule file that Prometheus loads: recordings first, then the alerts, each with its runbook and dashboard. */
import { stringify } from 'yaml'

import { defaultServiceLevel, type ServiceLevel } from '../service-level.ts'
import { type Alert, createSpan } from './alert.ts'
import { burnAlerts, recordings } from './burn.ts'
import { causeAlerts } from './causes.ts'

export interface RuleOptions {
  readonly level?: ServiceLevel
  /** Where runbooks are found: put before `/<alert>.md`. Default: their folder in the sources. */
  readonly runbooks?: string
  /** Divides every time; for tests. */
  readonly scale?: number
}

const sourceFolder = 'docs/runbooks'

/** All alerts. */
export function alertsFor({ level = defaultServiceLevel, scale = 1 }: RuleOptions = {}): Alert[] {
  const span = createSpan(scale)
  return [...burnAlerts(level, span), ...causeAlerts(span)]
}

/** The YAML of the rule file; also the `spec` of a PrometheusRule. */
export function renderRules(options: RuleOptions = {}): string {
  const { level = defaultServiceLevel, runbooks = sourceFolder, scale = 1 } = options
  const span = createSpan(scale)
  const rules = (alerts: readonly Alert[]) => alerts.map((alert) => renderAlert(alert, { runbooks, holdFor: span(alert.forSeconds) }))
  const groups = [
    { name: 'corral-service-level', rules: [...recordings(level, span), ...rules(burnAlerts(level, span))] },
    { name: 'corral-causes', rules: rules(causeAlerts(span)) },
  ]
  return `# Written by: corral export alerts\n${stringify({ groups }, { lineWidth: 0 })}`
}

function renderAlert(alert: Alert, { runbooks, holdFor }: { readonly runbooks: string; readonly holdFor: string }): object {
  const { name, expr, forSeconds, severity, slo, summary, dashboard } = alert
  return {
    alert: name,
    expr,
    ...(forSeconds === 0 ? {} : { for: holdFor }),
    labels: { severity, ...(slo === undefined ? {} : { slo }) },
    annotations: { summary, runbook_url: `${runbooks.replace(/\/+$/, '')}/${name}.md`, dashboard: `/d/${dashboard}` },
  }
}
