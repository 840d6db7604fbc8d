// Writes what is generated: grafana/dashboards/*.json, prometheus/alerts.yaml and the alerts of docs/observe.md, from src/observe/dashboards
// and src/observe/alerts. `test/observe/dashboards.test.ts` and `alerts.test.ts` hold the files in step.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withAlertTable } from './alerts-table.ts'
import { renderRules } from '../src/observe/alerts/rule-file.ts'
import { renderDashboards } from '../src/observe/dashboards/files.ts'

const root = join(import.meta.dirname, '..')
const dashboards = join(root, 'grafana/dashboards')
const rules = join(root, 'prometheus')
for (const folder of [dashboards, rules]) mkdirSync(folder, { recursive: true })
for (const [name, text] of renderDashboards()) writeFileSync(join(dashboards, name), text)
writeFileSync(join(rules, 'alerts.yaml'), renderRules())
const page = join(root, 'docs/observe.md')
writeFileSync(page, withAlertTable(readFileSync(page, 'utf8')))
console.log('written grafana/dashboards, prometheus/alerts.yaml and the alerts of docs/observe.md')
