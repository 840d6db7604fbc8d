// Renders every metric as a table: from the list that the gateway itself counts by.

import type { Family } from '../src/observe/families.ts'
import { createFamilies } from '../src/observe/metric-list.ts'
import { cell } from './written-part.ts'

/** The version that all metrics came with, until one comes later. */
const since = '0.1.0'

const units: readonly (readonly [ending: RegExp, unit: string])[] = [
  [/_timestamp_seconds$/, 'seconds since 1970'],
  [/_seconds(_total)?$/, 'seconds'],
  [/_bytes(_total)?$/, 'bytes'],
  [/_tokens(_total)?$/, 'tokens'],
]

export function renderMetricsReference(): string {
  const rows = Object.values(createFamilies()).map(rowOf)
  return ['| Metric | Type | Labels | Unit | Buckets | Meaning | Since |', '|---|---|---|---|---|---|---|', ...rows].join('\n')
}

function rowOf({ name, type, labels, bounds, help }: Family): string {
  const unit = units.find(([ending]) => ending.test(name))?.[1] ?? ''
  const shown = labels.map((label) => `\`${label}\``).join(', ')
  return `| \`${name}\` | ${type} | ${shown} | ${unit} | ${bounds.join(' ')} | ${cell(help)} | ${since} |`
}
