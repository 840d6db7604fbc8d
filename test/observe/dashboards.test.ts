// Dashboards: the files are what their source says, and each panel is one that an operator can read.
import { expect, test } from 'vitest'

import { alertsFor } from '../../src/observe/alerts/rule-file.ts'
import { dashboardsFor, renderDashboards } from '../../src/observe/dashboards/files.ts'
import { createFamilies } from '../../src/observe/metric-list.ts'
import { listFiles, readSource } from '../source-tree.ts'
import { filledIn, parseExpression, strangersIn } from './promql.ts'

const heads = dashboardsFor()
const panels = heads.flatMap(({ uid, panels: own }) => own.filter(({ type }) => type !== 'row').map((panel) => ({ uid, ...panel })))

test('grafana/dashboards holds what the source renders, and nothing else', () => {
  const rendered = [...renderDashboards()].map(([name, text]) => ({ file: `grafana/dashboards/${name}`, text }))
  expect(new Set(listFiles('grafana/dashboards', '.json'))).toEqual(new Set(rendered.map(({ file }) => file)))
  for (const { file, text } of rendered) expect(readSource(file), `run: npm run monitoring (${file})`).toBe(text)
})

test('every expression parses', () => {
  const mistakes = panels.flatMap(({ uid, title, queries }) =>
    queries.flatMap(({ expr }) => parseExpression(filledIn(expr)).mistakes.map((mistake) => `${uid} / ${title} ${mistake}`)),
  )
  expect(mistakes).toEqual([])
  expect(panels.length).toBeGreaterThan(50)
})

test('the grammar finds a mistake', () => {
  expect(parseExpression('sum by (le (rate(x[5m]))').mistakes).not.toEqual([])
  expect(parseExpression('sum by (node) (rate(x{a="b"}[5m]))')).toEqual({ mistakes: [], metrics: ['x'], labels: ['node', 'a'] })
})

test('every panel asks something, says what it tells, and stays in the view that the variables choose', () => {
  for (const { uid, title, description, queries } of panels) {
    expect(description, `${uid} / ${title}`).toMatch(/\.$/)
    expect(queries.length, title).toBeGreaterThan(0)
    for (const { expr } of queries.filter(({ expr: each }) => !each.includes('ALERTS')))
      expect(expr).toContain('job=~"$job",instance=~"$instance"')
  }
})

test('every expression names metrics and labels that there are', () => {
  const strange = panels.flatMap(({ uid, title, queries }) =>
    queries.flatMap(({ expr }) => strangersIn(filledIn(expr)).map((name) => `${uid} / ${title}: ${name}`)),
  )
  expect(strange).toEqual([])
  expect(strangersIn('sum by (nod) (rate(corral_requests_totl{op="chat"}[5m]))')).toEqual(['corral_requests_totl', 'nod', 'op'])
})

/** Metrics that no panel and no alert shows, and why. */
const unshown: Readonly<Record<string, string>> = {
  corral_config_info: 'a hash, to compare replicas by hand',
  corral_config_last_reload_timestamp_seconds: 'the marks on every dashboard',
  corral_last_scrape_timestamp_seconds: 'corral doctor reads it; whoever sees a dashboard has a Prometheus that reads',
  corral_node_model_expiry_timestamp_seconds: 'the console shows when a model may go',
}

test('every metric is shown by a panel or watched by an alert, or there is a reason', () => {
  const shown = [...panels.flatMap(({ queries }) => queries.map(({ expr }) => filledIn(expr))), ...alertsFor().map(({ expr }) => expr)]
  const asked = new Set(shown.flatMap((expr) => parseExpression(expr).metrics.map((name) => name.replace(/_(bucket|sum|count)$/, ''))))
  const missing = Object.values(createFamilies()).filter(({ name }) => !asked.has(name) && !(name in unshown))
  expect(missing.map(({ name }) => name)).toEqual([])
  expect(Object.keys(unshown).filter((name) => asked.has(name))).toEqual([])
})

test('nodes, models and pools can be chosen where a panel has such a label', () => {
  for (const text of renderDashboards().values()) {
    const board: {
      templating: { list: { name: string; includeAll?: boolean; allValue?: string }[] }
      panels: { targets?: { expr: string }[] }[]
    } = JSON.parse(text)
    const exprs = board.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)).join(' ')
    const used = ['node', 'model', 'pool'].filter((label) => exprs.includes(`${label}=~"$${label}"`))
    expect(board.templating.list.map(({ name }) => name)).toEqual(['datasource', 'job', 'instance', ...used])
    // All is all there is, not all that the variable found.
    for (const { name, includeAll, allValue } of board.templating.list)
      expect([name, allValue]).toEqual([name, includeAll ? '.*' : undefined])
  }
})

interface Place {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
}

/** The squares of the grid that a panel covers. */
function squares({ x, y, w, h }: Place): string[] {
  return Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`)
}

test('panels neither overlap nor leave the grid, and identities are their own', () => {
  for (const text of renderDashboards().values()) {
    const board: { panels: { id: number; gridPos: Place }[] } = JSON.parse(text)
    const taken = board.panels.flatMap(({ gridPos }) => squares(gridPos))
    expect(new Set(taken).size, 'overlap').toBe(taken.length)
    expect(board.panels.every(({ gridPos }) => gridPos.x + gridPos.w <= 24)).toBe(true)
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length)
    expect(text).not.toMatch(/__inputs|DS_PROMETHEUS/)
  }
  expect(new Set(heads.map(({ uid }) => uid)).size).toBe(heads.length)
})
