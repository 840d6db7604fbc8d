// Dashboards: the files are what their source says, and each panel is one that an operator can read.
import { expect, test } from 'vitest'

import { dashboardsFor, renderDashboards } from '../../src/observe/dashboards/files.ts'
import { listFiles, readSource } from '../source-tree.ts'
import { filledIn, parseExpression } from './promql.ts'

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
