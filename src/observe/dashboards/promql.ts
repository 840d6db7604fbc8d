/**
 * Expressions of panels. Every metric is narrowed to what the dashboard's variables name: the job and the replicas, and nodes, models and
 * pools where it has such a label.
 */
import { createFamilies } from '../metric-list.ts'

const labelsOf = new Map(Object.values(createFamilies()).map(({ name, labels }) => [name, labels]))

/** Labels with a variable of their own on the dashboards whose panels have them. */
export const narrowed = ['node', 'model', 'pool'] as const

/** The series of `metric` in view, narrowed further by matchers such as `outcome="ok"`. */
export function pick(metric: string, ...matchers: readonly string[]): string {
  const labels = labelsOf.get(metric) ?? labelsOf.get(metric.replace(/_(bucket|sum|count)$/, '')) ?? []
  const scope = ['job', 'instance', ...narrowed.filter((label) => labels.includes(label))].map((label) => `${label}=~"$${label}"`)
  return `${metric}{${[...scope, ...matchers].join(',')}}`
}

/** How many per second, summed over all labels but `by` (comma-separated; empty: over all). */
export function perSecond(by: string, metric: string, ...matchers: readonly string[]): string {
  return `${sumBy(by)} (rate(${pick(metric, ...matchers)}[$__rate_interval]))`
}

/** How many in `window`. */
export function countIn(window: string, metric: string, ...matchers: readonly string[]): string {
  return `sum(increase(${pick(metric, ...matchers)}[${window}]))`
}

/** A gauge summed over all labels but `by`. */
export function total(by: string, metric: string, ...matchers: readonly string[]): string {
  return `${sumBy(by)} (${pick(metric, ...matchers)})`
}

/** A quantile of a histogram, one line per value of `by`. */
export function quantile(level: number, by: string, metric: string): string {
  const labels = by === '' ? 'le' : `le, ${by}`
  return `histogram_quantile(${level}, sum by (${labels}) (rate(${pick(`${metric}_bucket`)}[$__rate_interval])))`
}

/** A quantile of the part of a histogram that the matchers name. */
export function quantileWhere(level: number, metric: string, ...matchers: readonly string[]): string {
  return `histogram_quantile(${level}, sum by (le) (rate(${pick(`${metric}_bucket`, ...matchers)}[$__rate_interval])))`
}

/** The mean of a histogram, one line per value of `by`. */
export function mean(by: string, metric: string, ...matchers: readonly string[]): string {
  return share(perSecond(by, `${metric}_sum`, ...matchers), perSecond(by, `${metric}_count`, ...matchers))
}

/** Observations per second and bucket: what a heatmap shows. */
export function heat(metric: string): string {
  return `sum by (le) (rate(${pick(`${metric}_bucket`)}[$__rate_interval]))`
}

/** `part` of `whole`; no sample while `whole` is nothing. */
export function share(part: string, whole: string): string {
  return `${part} / (${whole} > 0)`
}

function sumBy(labels: string): string {
  return labels === '' ? 'sum' : `sum by (${labels})`
}
