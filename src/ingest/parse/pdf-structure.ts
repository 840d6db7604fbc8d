/**
 * From lines of all pages to blocks: what repeats at the edge of pages is dropped, headings are told by size and by the document's own
 * outline, lines become paragraphs, lists and tables.
 */
import type { DocumentBuilder } from './document-builder.ts'
import { furnitureOf } from './pdf-furniture.ts'
import type { PageLayout, PdfLine } from './pdf-layout.ts'
import { lineText, paragraphsOf, type Paragraph } from './pdf-paragraphs.ts'

export interface OutlineEntry {
  readonly title: string
  /** 1–6. */
  readonly level: number
}

const headingCharsMax = 200
const headingLinesMax = 3
/** Text this much larger than the body's is a heading. */
const headingScale = 1.12
const headingSizesMax = 6
/** A size that fills more of the text than this is no heading's. */
const headingShareMax = 0.2
const numberedCharsMax = 80
const caption = /^(?:fig(?:ure|\.)?|table|tab\.|source|note|listing|abb\.|рис\.|табл)/i

interface HeadingRules {
  /** What most of the text is set in. */
  readonly body: { readonly size: number; readonly font: string }
  /** Fonts that only a small part of the text is set in. */
  readonly rareFonts: ReadonlySet<string>
  /** Level by size, rounded to half points. */
  readonly bySize: ReadonlyMap<number, number>
  /** Level by text, as `key` makes it. */
  readonly byTitle: ReadonlyMap<string, number>
}

/** Adds all pages to the document. */
export function addPages(builder: DocumentBuilder, pages: readonly PageLayout[], outline: readonly OutlineEntry[]): void {
  const furniture = furnitureOf(pages)
  const kept = pages.map((page) => ({ number: page.number, lines: page.lines.filter((line) => !furniture.has(line)) }))
  const all = kept.flatMap(({ lines }) => lines)
  const fonts = charsBy(all, ({ font }) => font)
  const total = [...fonts].reduce((sum, [, chars]) => sum + chars, 0)
  const rules: HeadingRules = {
    body: { size: charsBy(all, ({ size }) => roundSize(size))[0]?.[0] ?? 0, font: fonts[0]?.[0] ?? '' },
    rareFonts: new Set(fonts.filter(([, chars]) => chars <= total * headingShareMax).map(([font]) => font)),
    bySize: headingSizes(all),
    byTitle: new Map(outline.map(({ title, level }) => [key(title), level])),
  }
  for (const { number, lines } of kept) {
    const paragraphs = paragraphsOf(lines)
    for (const [index, paragraph] of paragraphs.entries()) {
      // A title in bold above everything is no smaller a heading than those that are set larger below it.
      const isFirst = index === 0 && number === kept[0]?.number
      const byFont = fontLevel(paragraph, paragraphs[index + 1], rules)
      const level = headingLevel(paragraph, rules) ?? (isFirst && byFont !== null ? 1 : byFont)
      if (level === null) builder.add(paragraph.kind, paragraph.text, { page: number })
      else builder.add('heading', paragraph.text, { page: number, level })
    }
  }
}

function headingLevel({ kind, text, lines, size }: Paragraph, { bySize, byTitle }: HeadingRules): number | null {
  if (kind !== 'paragraph' || text.length > headingCharsMax || lines > headingLinesMax || !/\p{L}/u.test(text)) return null
  const outlined = byTitle.get(key(text))
  if (outlined !== undefined) return outlined
  const sized = bySize.get(roundSize(size))
  if (sized !== undefined) return sized
  const numbered = /^(\d{1,2}(?:\.\d{1,2}){0,4})\.?\s+\p{Lu}/u.exec(text)
  const isPlain = lines === 1 && text.length <= numberedCharsMax && !/[.,;:]$/.test(text)
  return numbered !== null && isPlain ? Math.min(6, (numbered[1] ?? '').split('.').length) : null
}

/** A short line in a rare font, no smaller than the body, right above text in the body's font: one level below all headings by size. */
function fontLevel({ kind, text, lines, size, font }: Paragraph, next: Paragraph | undefined, rules: HeadingRules): number | null {
  const { body, rareFonts, bySize } = rules
  const isShort = kind === 'paragraph' && lines === 1 && text.length <= numberedCharsMax && /^[\p{Lu}\p{Lo}\d]/u.test(text)
  if (!isShort || /[.,;:!]$/.test(text) || caption.test(text)) return null
  const isSet = rareFonts.has(font) && font !== body.font && size >= body.size * 0.98
  const isAbove = next?.font === body.font && !/^\p{Ll}/u.test(next.text) && next.kind !== 'table' && next.text.length > text.length
  return isSet && isAbove ? Math.min(6, Math.max(0, ...bySize.values()) + 1) : null
}

/** Sizes above the body's, the largest as level 1. The body's is the size that most characters have. */
function headingSizes(lines: readonly PdfLine[]): ReadonlyMap<number, number> {
  const charsBySize = charsBy(lines, ({ size }) => roundSize(size))
  const total = charsBySize.reduce((sum, [, chars]) => sum + chars, 0)
  const body = charsBySize[0]?.[0] ?? 0
  const larger = charsBySize.filter(([size, chars]) => size >= body * headingScale && chars <= total * headingShareMax)
  const sizes = larger.map(([size]) => size).toSorted((one, other) => other - one)
  return new Map(sizes.map((size, index) => [size, Math.min(headingSizesMax, index + 1)]))
}

/** Characters by what `keyOf` tells of their line, most first. */
function charsBy<Key>(lines: readonly PdfLine[], keyOf: (line: PdfLine) => Key): [Key, number][] {
  const chars = new Map<Key, number>()
  for (const line of lines) chars.set(keyOf(line), (chars.get(keyOf(line)) ?? 0) + lineText(line).length)
  return [...chars].toSorted((one, other) => other[1] - one[1])
}

function roundSize(size: number): number {
  return Math.round(size * 2) / 2
}

/** A title without what outlines and pages write differently. */
function key(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '')
}
