/**
 * Metrics as text, in the two formats that Prometheus reads: its own (0.0.4), and OpenMetrics 1.0, which differs in the names of
 * counters in the comments, ends with a mark, and alone may carry exemplars.
 */
import { Cell, type Distribution, type Exemplars, type Family } from './families.ts'

export type Exposition = 'text' | 'openmetrics'

export const contentTypes: Readonly<Record<Exposition, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

/** The last line of a scrape in OpenMetrics. */
export const endMark = '# EOF\n'

/** The format that a client asks for: OpenMetrics where its `Accept` names it and does not refuse it. */
export function expositionOf(accept: string | undefined): Exposition {
  const wanted = (accept ?? '').split(',').find((range) => /^\s*application\/openmetrics-text\s*(;|$)/i.test(range))
  return wanted === undefined || /;\s*q=0(\.0+)?\s*(;|$)/i.test(wanted) ? 'text' : 'openmetrics'
}

/** The comment lines of a metric. */
function renderHead({ name, help, type }: Pick<Family, 'name' | 'help' | 'type'>, exposition: Exposition): string {
  const shown = exposition === 'openmetrics' && type === 'counter' ? name.replace(/_total$/, '') : name
  return `# HELP ${shown} ${help}\n# TYPE ${shown} ${type}\n`
}

/** A metric with all its children. */
export function renderFamily(family: Family, exposition: Exposition): string {
  const { name } = family
  let text = renderHead(family, exposition)
  for (const [labels, { cell }] of family.children) {
    text += cell instanceof Cell ? renderCell(name, labels, cell) : renderDistribution(name, labels, { distribution: cell, exposition })
  }
  return text
}

function renderCell(name: string, labels: string, cell: Cell): string {
  return labels === '' ? `${name} ${formatNumber(cell.value)}\n` : `${name}{${labels}} ${formatNumber(cell.value)}\n`
}

function renderDistribution(
  name: string,
  labels: string,
  { distribution, exposition }: { readonly distribution: Distribution; readonly exposition: Exposition },
): string {
  const { bounds, counts, sum } = distribution
  const exemplars = exposition === 'openmetrics' ? distribution.exemplars : null
  const prefix = labels === '' ? '' : `${labels},`
  const own = labels === '' ? '' : `{${labels}}`
  let text = ''
  let count = 0
  for (let index = 0; index < counts.length; index += 1) {
    count += counts[index] ?? 0
    const bound = bounds[index]
    text += `${name}_bucket{${prefix}le="${bound === undefined ? '+Inf' : bound}"} ${count}`
    if (exemplars !== null) text += renderExemplar(exemplars, index)
    text += '\n'
  }
  return `${text}${name}_sum${own} ${formatNumber(sum)}\n${name}_count${own} ${count}\n`
}

function renderExemplar({ traceIds, values, wallMs }: Exemplars, index: number): string {
  const traceId = traceIds[index] ?? null
  return traceId === null ? '' : ` # {trace_id="${traceId}"} ${values[index] ?? 0} ${(wallMs[index] ?? 0) / 1_000}`
}

export function formatNumber(value: number): string {
  if (value === Infinity) return '+Inf'
  return value === -Infinity ? '-Inf' : String(value)
}

/** Metrics of a client library, written as text 0.0.4, in OpenMetrics: no empty lines, and counters without their ending in comments. */
export function toOpenMetrics(text: string): string {
  return text
    .replaceAll(/^\n/gm, '')
    .replaceAll(/^(# TYPE \S+?)_total( counter)$/gm, '$1$2')
    .replaceAll(/^(# HELP \S+?)_total /gm, '$1 ')
}
