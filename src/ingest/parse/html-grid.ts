/** An HTML table as a grid: what reaches over columns or rows is said in each of them, so that a row can be read alone. */
import { childElements, type HtmlNode } from './html-node.ts'

const columnsMax = 500
const spanMax = 1_000
const cellsMax = 200_000

/** Rows of cells; empty when the table is larger than `cellsMax` or has no row. */
export function htmlGrid(table: HtmlNode, textOf: (cell: HtmlNode) => string): string[][] {
  const sections = childElements(table).flatMap((node) =>
    /^(?:thead|tbody|tfoot)$/.test(node.localName ?? '') ? childElements(node) : [node],
  )
  const rows = sections.filter(({ localName }) => localName === 'tr')
  const grid: string[][] = []
  /** Columns that a cell above still fills: its text and how many rows are left. */
  const reaching = new Map<number, { text: string; left: number }>()
  let cells = 0
  for (const row of rows) {
    const line = gridRow(row, reaching, textOf)
    cells += line.length
    if (cells > cellsMax) return []
    grid.push(line)
  }
  return grid
}

function gridRow(row: HtmlNode, reaching: Map<number, { text: string; left: number }>, textOf: (cell: HtmlNode) => string): string[] {
  const line: string[] = []
  const fill = () => {
    for (let above = reaching.get(line.length); above !== undefined; above = reaching.get(line.length)) {
      if (above.left === 1) reaching.delete(line.length)
      else above.left -= 1
      line.push(above.text)
    }
  }
  for (const cell of childElements(row, 'td', 'th')) {
    fill()
    const text = textOf(cell)
    const down = span(cell, 'rowspan')
    for (let count = span(cell, 'colspan'); count > 0 && line.length < columnsMax; count -= 1) {
      if (down > 1) reaching.set(line.length, { text, left: down - 1 })
      line.push(text)
    }
  }
  fill()
  return line
}

function span(cell: HtmlNode, name: string): number {
  const value = Number(cell.getAttribute(name) ?? 1)
  return Number.isInteger(value) ? Math.min(spanMax, Math.max(1, value)) : 1
}
