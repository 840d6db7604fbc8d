/**
 * HTML inside of Markdown that no reader of the page sees: comments, hidden elements, link definitions that serve as comments. It is blanked in
 * the text itself, character by character, so that every offset stays and no chunk over several blocks takes it along.
 */
import { type Mark, marksOf } from './markdown-marks.ts'
import { lineStarts, type PlacedToken, type Span } from './markdown-places.ts'

/** How many tags further the end of a hidden element is looked for. */
const marksAheadMax = 2_000
const empty = /^(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)$/
/** `[//]: # (words)`: a definition that leads nowhere. */
const commentDefinition = /^ {0,3}\[[^\]\n]+\]:[^\S\n]*(?:#|<#?>)[^\S\n]+\S.*$/

/** `text`, of which `tokens` were parsed, with blanks for what is not seen. */
export function blankUnseen(text: string, tokens: readonly PlacedToken[]): string {
  const starts = lineStarts(text)
  const spans = [...hiddenSpans([...marksOf(text, tokens, starts)]), ...definitionSpans(text, tokens, starts)]
  let blanked = ''
  let at = 0
  for (const { start, end } of spans.toSorted((a, b) => a.start - b.start)) {
    if (end <= at) continue
    const from = Math.max(at, start)
    blanked += text.slice(at, from) + text.slice(from, end).replace(/[^\n]/g, ' ')
    at = end
  }
  return blanked + text.slice(at)
}

/** Comments, and elements that are hidden up to their end tag. */
function* hiddenSpans(marks: readonly Mark[]): Generator<Span> {
  for (let index = 0; index < marks.length; index += 1) {
    const begin = marks[index]
    if (begin === undefined || !begin.isUnseen) continue
    if (begin.kind === 'comment' || empty.test(begin.name)) yield begin
    else {
      const last = endOf(marks, index, begin)
      // A bare name in running text without an end tag stands for a word of the reader, such as `<option>`; else all that follows in its block is hidden.
      if (last === undefined && begin.isInline && begin.isBare) continue
      const end = last?.end ?? begin.blockEnd
      yield { start: begin.start, end }
      while ((marks[index + 1]?.start ?? end) < end) index += 1
    }
  }
}

/** The mark that ends the element which `begin`, at `index`, opens. An element in running text ends in its paragraph. */
function endOf(marks: readonly Mark[], index: number, { name, isInline, blockEnd }: Mark): Mark | undefined {
  let depth = 0
  for (const one of marks.slice(index, index + marksAheadMax)) {
    if (isInline && one.start >= blockEnd) return undefined
    if (one.name !== name) continue
    depth += one.kind === 'open' ? 1 : -1
    if (depth === 0) return one
  }
  return undefined
}

/** Link definitions are in no token: they stand in the lines between. */
function* definitionSpans(text: string, tokens: readonly PlacedToken[], starts: readonly number[]): Generator<Span> {
  const covered = new Uint8Array(starts.length)
  for (const { map, level } of tokens) if (map !== null && level === 0) covered.fill(1, map[0], map[1])
  for (const [line, start] of starts.entries()) {
    if (covered[line] === 1) continue
    const end = (starts[line + 1] ?? text.length + 1) - 1
    if (commentDefinition.test(text.slice(start, end))) yield { start, end }
  }
}
