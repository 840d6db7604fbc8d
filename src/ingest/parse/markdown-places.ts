/**
 * Where the content of a Markdown token stands in the source. The parser tells lines only, and content has lost what stands around it there:
 * the marks of quotes and lists it is in, and of a cell the escapes of its bars. All of it takes time in proportion to the text: whoever
 * writes a document must not decide how long it is looked at.
 */
import assert from 'node:assert/strict'

import MarkdownIt from 'markdown-it'

/** Of the Markdown parser, as far as it is looked at. */
export interface PlacedToken {
  readonly type: string
  readonly content: string
  readonly level: number
  /** First line and the line behind the last; null inside of a line. */
  readonly map: readonly [number, number] | null
  readonly children: readonly PlacedToken[] | null
  /** Notes of the parser's rules: see `tagStart`. */
  readonly meta: Readonly<Record<string, unknown>> | null
}

export interface Span {
  readonly start: number
  readonly end: number
}

/** Gives the place in the source of an offset in content; it is asked for them in order. */
export type Placing = (offset: number) => number

type Parser = InstanceType<typeof MarkdownIt>

const tagRule = 'html_inline'

/**
 * Has the parser note at each tag in a line where it found it. Who looks for it afterwards has to know all that the parser steps over: escapes,
 * code, titles and targets of links, words for pictures.
 */
export function noteTagPlaces(markdown: Parser): void {
  const parser = new MarkdownIt()
  parser.inline.ruler.enableOnly(tagRule)
  const [readTag] = parser.inline.ruler.getRules('')
  assert(readTag !== undefined, `the Markdown parser has no rule ${tagRule}`)
  markdown.inline.ruler.at(tagRule, (state, silent) => {
    const start = state.pos
    const isTag = readTag(state, silent)
    const token = state.tokens.at(-1)
    if (isTag && !silent && token !== undefined) token.meta = { start }
    return isTag
  })
}

/** Where a tag stands in the content of the line or paragraph that it is a part of; null for parts that are no tag. */
export function tagStart({ type, meta }: PlacedToken): number | null {
  const start = type === tagRule ? meta?.['start'] : null
  return typeof start === 'number' ? start : null
}

export function lineStarts(text: string): readonly number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}

/** Of content whose lines are those of the source from line `from` on. */
export function placeLines(text: string, content: string, { starts, from }: { starts: readonly number[]; from: number }): Placing {
  const moved: { readonly offset: number; readonly by: number }[] = []
  let offset = 0
  for (const [index, line] of content.split('\n').entries()) {
    const start = starts[from + index] ?? text.length
    const end = (starts[from + index + 1] ?? text.length + 1) - 1
    moved.push({ offset, by: start + columnOf(line, text.slice(start, end)) - offset })
    offset += line.length + 1
  }
  let at = 0
  return (asked) => {
    while ((moved[at + 1]?.offset ?? Infinity) <= asked) at += 1
    return asked + (moved[at]?.by ?? 0)
  }
}

/** Where `line` begins in the line of the source that it is left of: at its end, but for blanks, and for the marks behind a heading. */
function columnOf(line: string, source: string): number {
  const words = line.trim()
  const seen = source.trimEnd()
  const column = seen.endsWith(words) ? seen.length - words.length : source.indexOf(words)
  // A tab that is half indent was made of blanks: the column may lie before the line, which no word does.
  return column - (line.length - line.trimStart().length)
}

/** A cell of a table, which follows those before it in its row: `start` is behind the last of them, `end` that of the row. */
export function placeCell(text: string, content: string, { start, end }: Span): { readonly place: Placing; readonly end: number } {
  // Any bar in a cell was written with a backslash: a bare one ends it.
  const written = content.replaceAll('|', '\\|')
  const at = Math.max(start, start + text.slice(start, end).indexOf(written))
  let seen = 0
  let bars = 0
  const place: Placing = (offset) => {
    for (; seen < offset; seen += 1) if (content.charAt(seen) === '|') bars += 1
    return at + offset + bars
  }
  return { place, end: at + written.length }
}
