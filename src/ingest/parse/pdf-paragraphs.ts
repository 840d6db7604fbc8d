/** Lines in reading order to paragraphs, lists and tables: by the white space above, the indent, the size, and what a line begins and ends with. */
import type { PdfLine } from './pdf-layout.ts'
import { medianOf } from './pdf-layout.ts'
import { tableAt } from './pdf-table.ts'
import { tableText } from './table-text.ts'

export interface Paragraph {
  readonly kind: 'paragraph' | 'list' | 'table'
  readonly text: string
  readonly lines: number
  readonly size: number
  /** Of its first line. */
  readonly font: string
}

/** In sizes of the text, except where said otherwise. */
const leadingMax = 1.35
const leadingFallback = 1.25
const indentMin = 0.8
const sizeChange = 0.1
/** A line that ends this share of its region's width early ends its paragraph, when a sentence ends with it. */
const shortLineShare = 0.15
const fontHeadingChars = 80
const bullet = /^(?:[•◦▪●○■□–—*·‣⁃-]|\(?(?:\d{1,3}|[a-z])[.)])\s+\S/
/** Words that keep their hyphen wherever the line breaks. */
const ownHyphen = /(?:^|[\s(])(?:all|co|cross|ex|half|high|long|low|non|open|real|self|short|so|state|well)-$/iu
const cjk = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\u3000-\u303f\uff00-\uffef]/u

interface Open {
  readonly lines: PdfLine[]
  text: string
}

export function lineText({ cells }: PdfLine): string {
  return cells.map(({ text }) => text).join(' ')
}

/** Paragraphs of one page. */
export function paragraphsOf(lines: readonly PdfLine[]): Paragraph[] {
  const found: Paragraph[] = []
  let open: Open | null = null
  const close = () => {
    if (open !== null) push(found, open)
    open = null
  }
  for (let index = 0; index < lines.length;) {
    const table = tableAt(lines, index)
    const line = lines[index]
    if (line === undefined) break
    if (table !== null) {
      close()
      found.push({ kind: 'table', text: tableText(table.grid), lines: table.lines, size: line.size, font: line.font })
      index += table.lines
      continue
    }
    const current: Open | null = open
    if (current !== null && !continuesWith(current, line, regionOf(lines, line.region))) close()
    open = open === null ? { lines: [line], text: lineText(line) } : grown(open, line)
    index += 1
  }
  close()
  return found
}

function grown(open: Open, line: PdfLine): Open {
  return { lines: [...open.lines.slice(-3), line], text: joinLines(open.text, lineText(line)) }
}

interface Region {
  readonly left: number
  readonly right: number
  /** From baseline to baseline, in points; 0 when there is one line only. */
  readonly leading: number
}

const regions = new WeakMap<readonly PdfLine[], Map<number, Region>>()

function regionOf(lines: readonly PdfLine[], region: number): Region {
  const known = regions.get(lines) ?? new Map<number, Region>()
  regions.set(lines, known)
  const found = known.get(region)
  if (found !== undefined) return found
  const own = lines.filter((line) => line.region === region)
  const steps = own.slice(1).map((line, index) => line.baseline - (own[index]?.baseline ?? 0))
  const measured = {
    left: Math.min(...own.map(({ left }) => left)),
    right: Math.max(...own.map(({ right }) => right)),
    leading: medianOf(steps.filter((step) => step > 0)),
  }
  known.set(region, measured)
  return measured
}

function continuesWith({ lines, text }: Open, line: PdfLine, region: Region): boolean {
  const last = lines.at(-1)
  if (last === undefined || bullet.test(lineText(line))) return false
  if (Math.abs(line.size - last.size) > last.size * sizeChange) return false
  // A short line in a font of its own above other text is a heading, whatever its size.
  if (
    lines.length === 1 &&
    line.font !== last.font &&
    text.length <= fontHeadingChars &&
    !/[.,;:]$/.test(text) &&
    !/^\p{Ll}/u.test(lineText(line))
  )
    return false
  // Over the end of a column or the head of a page, only a sentence that is under way goes on.
  if (line.region !== last.region) return /[\p{Ll},\u3040-\u30ff\u4e00-\u9fff-]$/u.test(text) && /^\p{Ll}/u.test(lineText(line))
  const step = line.baseline - last.baseline
  const usual = Math.min(region.leading > 0 ? region.leading : Infinity, last.size * 2)
  if (step > Math.max(usual, last.size * leadingFallback) * leadingMax) return false
  const [margin, lastMargin, edge] = line.isRtl
    ? [region.right - line.right, region.right - last.right, last.left - region.left]
    : [line.left - region.left, last.left - region.left, region.right - last.right]
  const isIndented = margin - lastMargin > line.size * indentMin && lastMargin < (line.size * indentMin) / 2 && !bullet.test(text)
  if (isIndented) return false
  const width = region.right - region.left
  return !(edge > width * shortLineShare && /[.!?:。！？؟]["”»)]?$/u.test(text))
}

/** Puts a word that was broken at the end of a line together; between ideographs no space is written. */
function joinLines(before: string, after: string): string {
  if (/\p{L}[\u00ad\u2010-]$/u.test(before) && /^\p{Ll}/u.test(after))
    return (ownHyphen.test(before) ? before : before.slice(0, -1)) + after
  if (before.endsWith('\u00ad')) return before.slice(0, -1) + after
  if (cjk.test(before.slice(-1)) && cjk.test(after.slice(0, 1))) return before + after
  return `${before} ${after}`
}

/** Items that follow each other make one list. */
function push(found: Paragraph[], { text, lines }: Open): void {
  const { size = 0, font = '' } = lines[0] ?? {}
  const last = found.at(-1)
  if (!bullet.test(text)) found.push({ kind: 'paragraph', text, lines: lines.length, size, font })
  else if (last?.kind === 'list') found[found.length - 1] = { ...last, text: `${last.text}\n${text}`, lines: last.lines + lines.length }
  else found.push({ kind: 'list', text, lines: lines.length, size, font })
}
