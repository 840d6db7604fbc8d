/** Rows of a sheet as blocks, for CSV and XLSX alike: where the header is, and what each row is called. */
import type { DocumentBuilder } from './document-builder.ts'
import { rowText } from './table-text.ts'

const headerRowsTried = 10
/** A row with fewer different texts than this share of the fullest one is a title or a note. */
const fullShareMin = 0.6
/** Numbers with signs, separators, currency and percent; dates and times. */
const valueLike = /^[\s\p{Sc}%()+\-.,:/'\d]*\d[\s\p{Sc}%()+\-.,:/'\d]*[a-zA-Z]{0,3}$/u

export interface SheetRows {
  readonly rows: readonly (readonly string[])[]
  /** Names of the columns; null when nothing names them. */
  readonly header: readonly string[] | null
  /** Rows at the begin that are the header itself. */
  readonly headerRows: number
  readonly page: number | null
}

export interface FoundHeader {
  /** Rows above it: titles and notes. */
  readonly at: number
  readonly rows: number
  readonly names: readonly string[]
}

/**
 * The header among the first rows: the first one that fills most columns with names, all different. A row of names that reach over several
 * columns and the row below it are a header of two rows, named `upper / lower`.
 */
export function findHeader(rows: readonly (readonly string[])[]): FoundHeader | null {
  const filled = rows.slice(0, headerRowsTried).map((row) => new Set(row.map((cell) => cell.trim()).filter((cell) => cell !== '')).size)
  const most = Math.max(0, ...filled)
  const at = filled.findIndex((count) => count >= Math.min(most, Math.max(2, most * fullShareMin)))
  // Above a header there are notes only: when a row of values comes first, there is no header.
  const [first, second] = [rows[at], rows[at + 1]]
  if (first === undefined || second === undefined || !namesColumns(first)) return null
  if (areDifferent(first)) return { at, rows: 1, names: first }
  const third = rows[at + 2]
  const joined = first.map((name, column) => joinNames(name.trim(), (second[column] ?? '').trim()))
  return third !== undefined && namesColumns(second) && areDifferent(joined) ? { at, rows: 2, names: joined } : null
}

function joinNames(upper: string, lower: string): string {
  return upper === '' || lower === '' || upper === lower ? upper || lower : `${upper} / ${lower}`
}

/** Texts that are no values; years may name columns. */
function namesColumns(row: readonly string[]): boolean {
  const names = row.map((cell) => cell.trim()).filter((cell) => cell !== '')
  return names.length > (row.length > 1 ? 1 : 0) && !names.some((name) => valueLike.test(name) && !/^(?:19|20)\d\d$/.test(name))
}

function areDifferent(row: readonly string[]): boolean {
  const names = row.map((cell) => cell.trim()).filter((cell) => cell !== '')
  return new Set(names).size === names.length
}

/** Adds each row below the header as a block; rows without a header say their values only. */
export function addRows(builder: DocumentBuilder, { rows, header, headerRows, page }: SheetRows): void {
  if (header !== null && headerRows > 0 && rows.length === headerRows) builder.add('row', header.join('; '), { page, gap: '\n' })
  for (const row of rows.slice(headerRows)) builder.add('row', rowText(header ?? [], row), { page, gap: '\n' })
}
