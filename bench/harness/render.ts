/** A bench result as text for a terminal: the bars first, then the figures they came from. */
import type { Bar, BenchResult } from './result.ts'

function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd()).join('\n')
}

function dataLines(data: BenchResult['data']): string {
  return columns(Object.entries(data).map(([key, value]) => [key, JSON.stringify(value)]))
}

function verdictOf({ isOk, isPrinted = false }: Bar): string {
  if (isPrinted) return 'printed'
  return isOk ? 'ok' : 'MISSED'
}

export function renderResult(result: BenchResult): string {
  const title = `${result.name} at ${result.commit}, Node ${result.node}${result.isQuick ? ', quick' : ''}${result.target === 'corral' ? '' : `, against ${result.target}`}`
  const bars = result.bars.map((bar) => [verdictOf(bar), bar.name, String(bar.value), bar.limit])
  return `${title}\n${columns(bars)}\n\n${dataLines(result.data)}\n\n`
}
