/** PromQL as Prometheus' own grammar reads it, and a scrape as names with their labels. */
import { parser } from '@prometheus-io/lezer-promql'

import { createFamilies } from '../../src/observe/metric-list.ts'

/** What Grafana puts in the place of its variables. */
const variables: Readonly<Record<string, string>> = {
  $__rate_interval: '10s',
  $__range: '1h',
  $job: '.+',
  $instance: '.+',
  $node: '.+',
  $model: '.+',
  $pool: '.+',
}

/** An expression as Prometheus gets it from a panel. */
export function filledIn(expr: string): string {
  return Object.entries(variables).reduce((text, [name, value]) => text.replaceAll(name, value), expr)
}

export interface ParsedExpression {
  /** Where the grammar finds a mistake. */
  readonly mistakes: readonly string[]
  readonly metrics: readonly string[]
  readonly labels: readonly string[]
}

export function parseExpression(expr: string): ParsedExpression {
  const mistakes: string[] = []
  const metrics: string[] = []
  const labels: string[] = []
  parser.parse(expr).iterate({
    enter: ({ type, from, to, node }) => {
      const text = expr.slice(from, to)
      if (type.isError) mistakes.push(`at ${from}: ${expr.slice(Math.max(0, from - 20), to + 20)}`)
      if (type.name === 'Identifier' && node.parent?.type.name === 'VectorSelector') metrics.push(text)
      if (type.name === 'LabelName') labels.push(text)
    },
  })
  return { mistakes, metrics, labels }
}

/** Names of no scrape of ours that an expression may ask for, with their labels: what Prometheus adds, and what rules record. */
const ofPrometheus: readonly (readonly [string, readonly string[]])[] = [
  ['up', []],
  ['scrape_duration_seconds', []],
  ['scrape_samples_scraped', []],
  ['ALERTS', ['alertname', 'alertstate']],
]

/** Labels that Prometheus adds, and those of buckets. */
const ofTargets = ['job', 'instance', 'le']

/** What an expression names and no family, process metric or record has: a metric, or a label. */
export function strangersIn(expr: string, { records = [] }: { readonly records?: readonly string[] } = {}): string[] {
  const known = new Map<string, readonly string[]>([
    ...ofPrometheus,
    ...records.map((name): [string, readonly string[]] => [name, []]),
    ...Object.values(createFamilies()).flatMap(({ name, type, labels }): [string, readonly string[]][] =>
      type === 'histogram' ? ['_bucket', '_sum', '_count'].map((part) => [`${name}${part}`, labels]) : [[name, labels]],
    ),
  ])
  const { metrics, labels } = parseExpression(expr)
  const own = metrics.filter((name) => !/^(process|nodejs)_/.test(name))
  const carried = new Set([...ofTargets, ...metrics.flatMap((name) => known.get(name) ?? [])])
  return [...own.filter((name) => !known.has(name)), ...labels.filter((label) => !carried.has(label))]
}

/** Every name in a scrape, `_bucket`, `_sum` and `_count` included, with the labels it carries. */
export function labelsByName(scrape: string): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>()
  for (const line of scrape.split('\n')) {
    const [, name, labels = ''] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line) ?? []
    if (name === undefined) continue
    const known = found.get(name) ?? new Set<string>()
    for (const [, label = ''] of labels.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)) known.add(label)
    found.set(name, known)
  }
  return found
}
