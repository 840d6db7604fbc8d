/** The cells of one sheet as regions: rows that follow each other, over the columns that are used, with merged cells filled. */
import { CorralError } from '../../core/errors.ts'
import type { OfficePackage } from './office-package.ts'
import type { CellFormats } from './xlsx-format.ts'
import { attribute, element, elements, textOf, type XmlNode } from './xml.ts'

/** Of one sheet, empty ones between used columns counted. */
const cellsMax = 5_000_000
const columnsMax = 16_384
const sidesMax = 50
const mergesMax = 20_000

export interface Workbook {
  readonly office: OfficePackage
  readonly strings: readonly string[]
  readonly formats: CellFormats
}

interface SparseRow {
  readonly number: number
  readonly cells: Map<number, string>
}

interface Merge {
  readonly top: number
  readonly bottom: number
  readonly left: number
  readonly right: number
}

/** Regions in order; each has at least one row. Throws `document_too_large` over `cellsMax`. */
export async function readSheet(workbook: Workbook, part: string): Promise<string[][][]> {
  const rows: SparseRow[] = []
  const merges: Merge[] = []
  await workbook.office.read(part, ['row', 'mergeCell'], (node) => {
    if (node.name === 'mergeCell') {
      const merge = mergeOf(attribute(node, 'ref') ?? '')
      if (merge !== null && merges.length < mergesMax) merges.push(merge)
      return
    }
    const row = readRow(workbook, node, (rows.at(-1)?.number ?? 0) + 1)
    if (row.cells.size > 0) rows.push(row)
  })
  fillMerges(rows, merges)
  return regionsOf(rows)
}

function readRow(workbook: Workbook, node: XmlNode, next: number): SparseRow {
  const cells = new Map<number, string>()
  let column = -1
  for (const cell of elements(node, 'c')) {
    column = columnOf(attribute(cell, 'r') ?? '') ?? column + 1
    const text = cellValue(workbook, cell)
    if (text.trim() !== '' && column < columnsMax) cells.set(column, text)
  }
  return { number: Number(attribute(node, 'r')) || next, cells }
}

function cellValue({ strings, formats }: Workbook, cell: XmlNode): string {
  const value = textOf(element(cell, 'v'))
  switch (attribute(cell, 't')) {
    case 's':
      return strings[Number(value)] ?? ''
    case 'inlineStr':
      return richText(element(cell, 'is'))
    case 'b':
      return value === '1' ? 'true' : 'false'
    case 'str':
    case 'e':
    case 'd':
      return value
    default:
      return value === '' ? '' : formats.write(value, Number(attribute(cell, 's') ?? 0))
  }
}

/** Text of a shared or inline string, without its reading aids. */
export function richText(node: XmlNode | undefined): string {
  return elements(node)
    .map((child) => {
      if (child.name === 't') return textOf(child)
      return child.name === 'r' ? textOf(element(child, 't')) : ''
    })
    .join('')
}

/** `BC12` → 54; null when there are no letters. */
function columnOf(reference: string): number | null {
  const letters = /^([A-Z]{1,3})\d*$/.exec(reference)?.[1]
  if (letters === undefined) return null
  return Array.from(letters).reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 64, 0) - 1
}

function mergeOf(reference: string): Merge | null {
  const match = /^([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})$/.exec(reference)
  if (match === null) return null
  const left = columnOf(match[1] ?? '')
  const right = columnOf(match[3] ?? '')
  return left === null || right === null ? null : { top: Number(match[2]), bottom: Number(match[4]), left, right }
}

/** What is merged is said in every row and column it reaches over, as far as there are other cells. */
function fillMerges(rows: readonly SparseRow[], merges: readonly Merge[]): void {
  const used = new Set(columnsOf(rows))
  const byNumber = new Map(rows.map((row) => [row.number, row]))
  const last = rows.at(-1)?.number ?? 0
  let filled = 0
  for (const merge of merges) {
    const text = byNumber.get(merge.top)?.cells.get(merge.left)
    if (text === undefined) continue
    for (let number = merge.top; number <= Math.min(merge.bottom, last); number += 1) {
      const row = byNumber.get(number)
      if (row !== undefined) filled += fillRow(row, { merge, text, used })
    }
    if (filled > cellsMax) throw tooManyCells()
  }
}

/** How many columns were looked at. */
function fillRow(row: SparseRow, { merge, text, used }: { merge: Merge; text: string; used: ReadonlySet<number> }): number {
  const right = Math.min(merge.right, columnsMax)
  for (let column = merge.left; column <= right; column += 1) if (used.has(column) && !row.cells.has(column)) row.cells.set(column, text)
  return right - merge.left + 1
}

/** Rows that follow each other and share a column; tables that stand side by side over different rows apart. */
function regionsOf(rows: readonly SparseRow[]): string[][][] {
  return bandsOf(rows)
    .flatMap((band) => sidesOf(band).flatMap(bandsOf))
    .map(denseRows)
}

function bandsOf(rows: readonly SparseRow[]): SparseRow[][] {
  const bands: SparseRow[][] = []
  for (const row of rows) {
    const last = bands.at(-1)?.at(-1)
    const follows = last !== undefined && row.number === last.number + 1 && [...row.cells.keys()].some((column) => last.cells.has(column))
    if (follows) bands.at(-1)?.push(row)
    else bands.push([row])
  }
  return bands
}

/** Parts between empty columns, if they do not begin and end on the same rows: those that do are one table with a gap. */
function sidesOf(band: readonly SparseRow[]): SparseRow[][] {
  const columns = columnsOf(band)
  const groups: number[][] = []
  for (const column of columns) {
    if (groups.at(-1)?.at(-1) === column - 1) groups.at(-1)?.push(column)
    else groups.push([column])
  }
  if (groups.length < 2 || groups.length > sidesMax) return [[...band]]
  const sides = groups.map((group) => {
    const own = new Set(group)
    const cut = band.map(({ number, cells }) => ({ number, cells: new Map([...cells].filter(([column]) => own.has(column))) }))
    return cut.filter(({ cells }) => cells.size > 0)
  })
  const spans = new Set(sides.map((side) => `${side[0]?.number}-${side.at(-1)?.number}`))
  return spans.size === 1 ? [[...band]] : sides
}

function columnsOf(rows: readonly SparseRow[]): number[] {
  const used = new Set<number>()
  for (const { cells } of rows) for (const column of cells.keys()) used.add(column)
  return [...used].toSorted((one, other) => one - other)
}

/** Every row over all used columns. */
function denseRows(rows: readonly SparseRow[]): string[][] {
  const columns = columnsOf(rows)
  if (columns.length * rows.length > cellsMax) throw tooManyCells()
  return rows.map(({ cells }) => columns.map((column) => cells.get(column) ?? ''))
}

function tooManyCells(): CorralError {
  return new CorralError('document_too_large', `a sheet has more than ${cellsMax} cells: split it, or save it as CSV`)
}
