/** What most panels show of a metric: its rate, or how slow the slowest twentieth is, with a line per value of some labels. */
import { lines, type Panel, type PanelHead, type Query } from './panel.ts'
import { perSecond, quantile } from './promql.ts'

type Head = Omit<PanelHead, 'queries'>

/** How many per second, one series per value of `by` (comma-separated labels), named by them. */
export function rateBy(by: string, metric: string, ...matchers: readonly string[]): Query {
  return { expr: perSecond(by, metric, ...matchers), legend: legendOf(by) }
}

/** Lines of a counter's rate. */
export function rates(by: string, metric: string, head: Head): Panel {
  return lines({ ...head, queries: [rateBy(by, metric)] })
}

/** Lines of a histogram of seconds: its 95th percentile. */
export function p95(by: string, metric: string, head: Head): Panel {
  return lines({ ...head, queries: [{ expr: quantile(0.95, by, metric), legend: legendOf(by) }], unit: 's' })
}

function legendOf(by: string): string {
  return by
    .split(', ')
    .map((label) => `{{${label}}}`)
    .join(' ')
}
