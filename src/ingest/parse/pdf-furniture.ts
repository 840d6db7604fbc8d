/** What pages repeat at their upper and lower edge: running heads, footers, page numbers. They would break every sentence that crosses a page. */
import type { PageLayout, PdfLine } from './pdf-layout.ts'
import { lineText } from './pdf-paragraphs.ts'

const edgeLines = 3
/** Share of the page's height at each end where furniture stands. */
const edgeShare = 0.12
const pagesMin = 3
/** Left and right pages have heads of their own. */
const repeatShareMin = 0.4
const pageNumber =
  /^[\s\-–—|·.]*(?:(?:page|seite|p\.|стр\.|页)\s*)?(?:\d{1,4}|[ivxlc]{1,6})(?:\s*(?:of|von|\/|из)\s*\d{1,4})?[\s\-–—|·.]*$/i

/** The lines to leave out. */
export function furnitureOf(pages: readonly PageLayout[]): ReadonlySet<PdfLine> {
  const edges = pages.flatMap((page) => edgesOf(page))
  const pagesByText = new Map<string, Set<number>>()
  for (const { line, page } of edges) {
    const seen = pagesByText.get(shapeOf(line)) ?? new Set()
    pagesByText.set(shapeOf(line), seen.add(page))
  }
  const dropped = new Set<PdfLine>()
  for (const { line } of edges) {
    const count = pagesByText.get(shapeOf(line))?.size ?? 0
    const isRepeated = count >= pagesMin && count >= pages.length * repeatShareMin
    if (isRepeated || (pages.length > 1 && pageNumber.test(lineText(line)))) dropped.add(line)
  }
  return dropped
}

function edgesOf({ lines, height, number }: PageLayout): { line: PdfLine; page: number }[] {
  const byHeight = lines.toSorted((one, other) => one.baseline - other.baseline)
  const upper = byHeight.slice(0, edgeLines).filter((line) => line.baseline <= height * shareFor(line))
  const lower = byHeight.slice(-edgeLines).filter((line) => line.baseline >= height * (1 - shareFor(line)))
  return [...new Set([...upper, ...lower])].map((line) => ({ line, page: number }))
}

/** A lone number at the edge is the page's own even where margins are wide. */
function shareFor(line: PdfLine): number {
  return pageNumber.test(lineText(line)) ? edgeShare * 2 : edgeShare
}

/** The text without what counts up. */
function shapeOf(line: PdfLine): string {
  return lineText(line).replace(/\d+/g, '#').replace(/\s+/gu, ' ')
}
