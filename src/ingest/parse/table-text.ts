/** A grid as a Markdown table: the one written form of tables from HTML, DOCX, PPTX, CSV and PDF. Spans are already spread over the grid. */
import { cleanLine } from './clean-text.ts'

const cellCharsMax = 20_000

/** Cell text fit for one line of a Markdown table. */
export function cellText(text: string): string {
  return cleanLine(text)
    .slice(0, cellCharsMax)
    .toWellFormed()
    .replaceAll('|', String.raw`\|`)
}

/** Lines of a Markdown table, the first row as header; empty when there is nothing to see in any cell. */
export function tableLines(grid: readonly (readonly string[])[]): string[] {
  const rows = grid.map((row) => row.map(cellText)).filter((row) => row.some((cell) => cell !== ''))
  const width = rows.reduce((most, row) => Math.max(most, row.length), 0)
  const lines = rows.map((row) => `| ${Array.from({ length: width }, (_, index) => row[index] ?? '').join(' | ')} |`)
  const [header, ...body] = lines
  return header === undefined ? [] : [header, `|${' --- |'.repeat(width)}`, ...body]
}

/** The table as one text; one column is no table but a list of its lines. */
export function tableText(grid: readonly (readonly string[])[]): string {
  return tableLines(grid).join('\n')
}

/** `Header: value; …` of one row: what a row of a sheet is searched and cited as. Empty cells are left out. */
export function rowText(headers: readonly string[], cells: readonly string[]): string {
  const width = Math.max(headers.length, cells.length)
  const parts = Array.from({ length: width }, (_, index) => {
    const value = cleanLine(cells[index] ?? '')
    const name = cleanLine(headers[index] ?? '')
    if (value === '') return ''
    return name === '' ? value : `${name}: ${value}`
  })
  return parts.filter((part) => part !== '').join('; ')
}
