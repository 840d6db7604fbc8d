/** Rows of a sheet as blocks, for CSV and XLSX alike: where the header is, and what each row is called. */
import type { DocumentBuilder } from './document-builder.ts'
import { rowText } from './table-text.ts'

const headerRowsTried = 10
/** Numbers with signs, separators, currency and percent; dates and times. */
const valueLike = /^[\s\p{Sc}%()+\-.,:/'\d]*\d[\s\p{Sc}%()+\-.,:/'\d]*[a-zA-Z]{0,3}$/u

export interface SheetRows {
  readonly rows: readonly (readonly string[])[]
  readonly header: readonly string[] | null
  readonly page: number | null
}

/** The first row when it names columns: texts, all different, above rows of which some hold values or longer texts; else null. */
export function headerOf(rows: readonly (readonly string[])[]): readonly string[] | null {
  const [first, ...rest] = rows
  if (first === undefined || rest.length === 0) return null
  const names = first.map((cell) => cell.trim()).filter((cell) => cell !== '')
  if (names.length < 2 && first.length > 1) return null
  if (names.some((name) => valueLike.test(name) && !/^(?:19|20)\d\d$/.test(name))) return null
  return new Set(names).size === names.length ? first : null
}

/** The row that is the header of a sheet with titles and notes above its table: the fullest of the first ones that names columns. */
export function headerIndex(rows: readonly (readonly string[])[]): number | null {
  const filled = rows.slice(0, headerRowsTried).map((row) => row.filter((cell) => cell.trim() !== '').length)
  const most = Math.max(0, ...filled)
  const index = filled.findIndex((count) => count === most)
  if (most < 1 || index === -1) return null
  return headerOf(rows.slice(index)) === null ? null : index
}

/** Adds each row below the header as a block; rows without a header say their values only. */
export function addRows(builder: DocumentBuilder, { rows, header, page }: SheetRows): void {
  if (header !== null && rows.length === 1) builder.add('row', header.join('; '), { page, gap: '\n' })
  for (const row of rows) if (row !== header) builder.add('row', rowText(header ?? [], row), { page, gap: '\n' })
}
