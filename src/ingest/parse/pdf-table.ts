/** Tables by position: lines that follow each other, most of them in several pieces, with white space between the pieces from top to bottom. */
import type { PdfLine } from './pdf-layout.ts'

const rowsMin = 3
const rowsMax = 500
const columnsMin = 2
const columnsMax = 40
/** In sizes of the text. */
const columnGapMin = 0.5
const rowGapMax = 3.2
/** Two columns of longer cells than this are prose side by side. */
const proseChars = 70

export interface FoundTable {
  readonly grid: string[][]
  readonly lines: number
}

/** The table that begins with line `index`; null when none does. */
export function tableAt(lines: readonly PdfLine[], index: number): FoundTable | null {
  const first = lines[index]
  if (first === undefined || first.cells.length < columnsMin) return null
  let best: FoundTable | null = null
  const taken: PdfLine[] = []
  for (const line of lines.slice(index, index + rowsMax)) {
    const last = taken.at(-1)
    if (line.region !== first.region) break
    if (last !== undefined && line.baseline - last.baseline > Math.max(line.size, last.size) * rowGapMax) break
    taken.push(line)
    if (taken.length < rowsMin && line.cells.length < columnsMin) break
    if (taken.length < rowsMin) continue
    const columns = columnsOf(taken)
    if (columns.length < columnsMin || columns.length > columnsMax) break
    if (line.cells.length >= columnsMin) best = { grid: gridOf(taken, columns), lines: taken.length }
    else if (taken.slice(-2).every(({ cells }) => cells.length < columnsMin)) break
  }
  return best !== null && isTable(best, lines.slice(index, index + best.lines)) ? best : null
}

function isTable({ grid }: FoundTable, lines: readonly PdfLine[]): boolean {
  const full = lines.filter(({ cells }) => cells.length >= columnsMin).length
  if (full < rowsMin || full < lines.length * 0.6) return false
  const cells = grid.flat().filter((cell) => cell !== '')
  return cells.reduce((sum, cell) => sum + cell.length, 0) / Math.max(1, cells.length) <= proseChars
}

interface Column {
  left: number
  right: number
}

/** Where pieces of all lines stand, apart by white space. */
function columnsOf(lines: readonly PdfLine[]): readonly Column[] {
  const size = lines[0]?.size ?? 1
  const spans = lines.flatMap(({ cells }) => cells.map(({ left, right }) => ({ left, right })))
  const columns: Column[] = []
  for (const { left, right } of spans.toSorted((one, other) => one.left - other.left)) {
    const last = columns.at(-1)
    if (last !== undefined && left - last.right < size * columnGapMin) last.right = Math.max(last.right, right)
    else columns.push({ left, right })
  }
  return columns
}

/** A line with one piece goes on in the cell above it. */
function gridOf(lines: readonly PdfLine[], columns: readonly Column[]): string[][] {
  const isRtl = lines.filter((line) => line.isRtl).length * 2 > lines.length
  const grid: string[][] = []
  for (const { cells } of lines) {
    const above = grid.at(-1)
    const isContinued = cells.length === 1 && above !== undefined
    const row = isContinued ? above : columns.map(() => '')
    for (const { text, left, right } of cells) {
      const at = columns.findIndex((column) => left >= column.left - 0.5 && right <= column.right + 0.5)
      row[at] = `${row[at] ?? ''} ${text}`.trim()
    }
    if (!isContinued) grid.push(row)
  }
  return isRtl ? grid.map((row) => row.toReversed()) : grid
}
