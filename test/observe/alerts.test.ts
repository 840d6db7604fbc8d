// Alerts: the file is what its source says, each has its runbook, and Prometheus itself says which fire.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'
import { parse, stringify } from 'yaml'

import { withAlertTable } from '../../scripts/alerts-table.ts'
import { alertsFor, renderRules } from '../../src/observe/alerts/rule-file.ts'
import { createSpan } from '../../src/observe/alerts/alert.ts'
import { dashboardsFor } from '../../src/observe/dashboards/files.ts'
import { listFiles, readSource } from '../source-tree.ts'
import { filledIn, parseExpression } from './promql.ts'

const alerts = alertsFor()
const promtool = process.env['PROMTOOL'] ?? 'promtool'
const hasPromtool = spawnSync(promtool, ['--version']).error === undefined

function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'corral-rules-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

function runPromtool(args: readonly string[], cwd: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(promtool, args, { cwd, encoding: 'utf8' })
  return { status, output: stdout + stderr }
}

test('prometheus/alerts.yaml is what the source renders', () => {
  expect(readSource('prometheus/alerts.yaml'), 'run: npm run monitoring').toBe(renderRules())
})

test('docs/observe.md lists every alert', () => {
  const page = readSource('docs/observe.md')
  expect(page, 'run: npm run monitoring').toBe(withAlertTable(page))
})

test('every alert has a runbook, and every runbook an alert', () => {
  const runbooks = listFiles('docs/runbooks', '.md').map((file) => file.replace(/^.*\/|\.md$/g, ''))
  expect(runbooks.toSorted()).toEqual(alerts.map(({ name }) => name).toSorted())
})

test.for(alerts.map(({ name }) => name))('the runbook of %s tells meaning, impact, first look, causes and fixes', (name) => {
  const page = readSource(`docs/runbooks/${name}.md`)
  expect(page.startsWith(`# ${name}\n`)).toBe(true)
  const headings = [...page.matchAll(/^## (.+)\n\n\S/gm)].map(([, heading]) => heading)
  expect(headings).toEqual(['Meaning', 'Impact', 'First look', 'Causes and fixes'])
})

test('every alert leads to a dashboard that exists, with a sentence that names what it is about', () => {
  const known = new Set(dashboardsFor().map(({ uid }) => uid))
  for (const { name, dashboard, summary, expr } of alerts) {
    expect(known.has(dashboard), name).toBe(true)
    expect(summary.length, name).toBeGreaterThan(20)
    expect(parseExpression(expr).mistakes, name).toEqual([])
  }
})

test('a scale shortens every time, and a runbook folder of one’s own is taken', () => {
  const span = createSpan(60)
  expect([span(300), span(3_600), span(259_200), span(90)]).toEqual(['5s', '1m', '72m', '1500ms'])
  const rules = renderRules({ scale: 60, runbooks: 'https://wiki.example.net/corral/' })
  expect(rules).toContain('runbook_url: https://wiki.example.net/corral/CorralDown.md')
  expect(rules).toContain('[5s]')
  expect(rules).not.toMatch(/\[\d+[hd]\]/)
})

test('a promise too loose to be missed fourteen times over still pages', () => {
  const fast = alertsFor({ level: { availability: 0.9, firstTokenShare: 0.5, firstTokenSeconds: 5 } })
  expect(fast.find(({ name }) => name === 'CorralErrorBudgetBurnFast')?.expr).toContain('> 0.9 ')
})

test.runIf(hasPromtool)('Prometheus takes the rules', () => {
  const { status, output } = runPromtool(['check', 'rules', 'alerts.yaml'], folderOf({ 'alerts.yaml': renderRules() }))
  expect(output).toContain('rules found')
  expect(status).toBe(0)
})

/** Requests per minute by outcome, as series of counters that rise evenly for six hours. */
function traffic(perMinute: Readonly<Record<string, number>>): { series: string; values: string }[] {
  return Object.entries(perMinute).map(([outcome, count]) => ({
    series: `corral_requests_total{job="corral",instance="a",op="chat",model="m",outcome="${outcome}"}`,
    values: `0+${count}x360`,
  }))
}

/** What promtool has to say against a panel that shows `value` of this input; empty: nothing. */
function panelDisagreements(title: string, { input, value }: { input: Scenario['input']; value: number | null }): string {
  const panel = dashboardsFor().flatMap(({ panels }) => panels.filter((each) => each.title === title))[0]
  const expr = `round(${filledIn(panel?.queries[0]?.expr ?? '').replaceAll('[10s]', '[5m]')}, 0.001)`
  const samples = value === null ? [] : [{ labels: '{}', value }]
  const tests = [{ interval: '1m', input_series: input, promql_expr_test: [{ expr, eval_time: '1h', exp_samples: samples }] }]
  const { status, output } = runPromtool(['test', 'rules', 'tests.yaml'], folderOf({ 'tests.yaml': stringify({ tests }) }))
  return status === 0 ? '' : output
}

/** Decisions on keys per minute, as series. */
function decisions(perMinute: Readonly<Record<string, number>>): Scenario['input'] {
  return Object.entries(perMinute).map(([result, count]) => ({
    series: `corral_authentications_total{job="corral",instance="a",method="key",result="${result}"}`,
    values: `0+${count}x120`,
  }))
}

test.runIf(hasPromtool)('of valid attempts to authenticate, what is refused by right counts neither way', () => {
  const title = 'Successful authentications'
  const good = decisions({ granted: 990, undecided: 10, unknown: 5_000, missing: 5_000, expired: 100 })
  expect(panelDisagreements(title, { input: good, value: 0.99 })).toBe('')
  expect(panelDisagreements(title, { input: decisions({ granted: 0, undecided: 0, missing: 7 }), value: null })).toBe('')
  expect(panelDisagreements(title, { input: good, value: 0.5 })).toContain('FAILED')
})

interface Scenario {
  readonly input: { series: string; values: string }[]
  readonly at: string
  /** Whether each of these alerts fires then. */
  readonly firing: Readonly<Record<string, boolean>>
}

/** What of `expected` does not hold, in promtool's words; empty when all does. Labels and annotations are not compared. */
function disagreements(scenario: Scenario): string {
  const firing = Object.entries(scenario.firing).map(([name, fires]) => ({
    expr: `count(ALERTS{alertname="${name}",alertstate="firing"})`,
    eval_time: scenario.at,
    exp_samples: fires ? [{ labels: '{}', value: 1 }] : [],
  }))
  const tests = [{ interval: '1m', input_series: scenario.input, promql_expr_test: firing }]
  const file = stringify({ rule_files: ['alerts.yaml'], evaluation_interval: '1m', tests })
  expect(parse(file)).toBeTruthy()
  const { status, output } = runPromtool(['test', 'rules', 'tests.yaml'], folderOf({ 'alerts.yaml': renderRules(), 'tests.yaml': file }))
  return status === 0 ? '' : output
}

const pages = ['CorralErrorBudgetBurnFast', 'CorralErrorBudgetBurnMedium'] as const
const bothFire = (fires: boolean) => Object.fromEntries(pages.map((name) => [name, fires]))

test.runIf(hasPromtool)('ten percent of errors page', () => {
  expect(disagreements({ input: traffic({ ok: 90, node_error: 10 }), at: '2h', firing: bothFire(true) })).toBe('')
})

test.runIf(hasPromtool)('sixty percent of client errors do not', () => {
  const input = traffic({ ok: 40, client_error: 50, client_gone: 10, node_error: 0 })
  expect(disagreements({ input, at: '2h', firing: bothFire(false) })).toBe('')
})

test.runIf(hasPromtool)('two failures in a quiet night do not page', () => {
  const input = [
    { series: 'corral_requests_total{job="corral",instance="a",op="chat",model="m",outcome="node_error"}', values: '0x100 1 2x259' },
    { series: 'corral_requests_total{job="corral",instance="a",op="chat",model="m",outcome="ok"}', values: '0x99 1x260' },
  ]
  expect(disagreements({ input, at: '1h45m', firing: { CorralErrorBudgetBurnFast: false } })).toBe('')
})

test.runIf(hasPromtool)('a test of a rule can fail', () => {
  expect(disagreements({ input: traffic({ ok: 100 }), at: '2h', firing: bothFire(true) })).toContain('FAILED')
})

const gauge = (series: string, values: string) => ({ series, values })

test.runIf(hasPromtool)(
  'causes fire: a node that is away, unless it is drained; no node at all; a refused configuration; a stuck queue',
  () => {
    const input = [
      gauge('up{job="corral",instance="a"}', '1x120'),
      gauge('corral_node_up{job="corral",instance="a",node="n1"}', '0x120'),
      gauge('corral_node_draining{job="corral",instance="a",node="n1"}', '0x120'),
      gauge('corral_config_last_reload_successful{job="corral",instance="a"}', '0x120'),
      gauge('corral_job_oldest_age_seconds{job="corral",instance="a",state="queued"}', '0+60x120'),
      gauge('corral_memory_pressure_level{job="corral",instance="a"}', '0x120'),
      gauge('corral_dependency_up{job="corral",instance="a",dependency="database"}', '0x120'),
      gauge('corral_dependency_up{job="corral",instance="a",dependency="redis"}', '1x120'),
      gauge('corral_db_pool_connections{job="corral",instance="a",state="waiting"}', '3x120'),
      gauge('corral_context_truncated_total{job="corral",instance="a",model="m",node="n1"}', '0+2x120'),
    ]
    const firing = {
      CorralNodeDown: true,
      CorralNoNode: true,
      CorralConfigRefused: true,
      CorralIngestStuck: true,
      CorralDependencyDown: true,
      CorralDatabaseBusy: true,
      CorralContextTruncated: true,
      CorralMemoryPressure: false,
      CorralDown: false,
    }
    expect(disagreements({ input, at: '60m', firing })).toBe('')
    const drained = input.map((each) => (each.series.startsWith('corral_node_draining') ? { ...each, values: '1x120' } : each))
    expect(disagreements({ input: drained, at: '60m', firing: { CorralNodeDown: false } })).toBe('')
    expect(disagreements({ input: [], at: '10m', firing: { CorralDown: true } })).toBe('')
  },
)

test.runIf(hasPromtool)('slow first tokens page', () => {
  const bucket = (le: string, values: string) =>
    gauge(`corral_time_to_first_token_seconds_bucket{job="corral",instance="a",model="m",le="${le}"}`, values)
  const count = gauge('corral_time_to_first_token_seconds_count{job="corral",instance="a",model="m"}', '0+100x360')
  const slow = [bucket('2.5', '0+10x360'), bucket('+Inf', '0+100x360'), count]
  const quick = [bucket('2.5', '0+97x360'), bucket('+Inf', '0+100x360'), count]
  expect(disagreements({ input: slow, at: '2h', firing: { CorralFirstTokenBurnFast: true } })).toBe('')
  expect(disagreements({ input: quick, at: '2h', firing: { CorralFirstTokenBurnFast: false, CorralFirstTokenBurnSlow: false } })).toBe('')
})
