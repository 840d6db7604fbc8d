/**
 * HTML inside of Markdown that no reader of the page sees: comments, hidden elements, link definitions that serve as comments. It is blanked in
 * the text itself, character by character, so that every offset stays and no chunk over several blocks takes it along.
 */
import { isUnseenElement } from './html-hidden.ts'

/** Of the Markdown parser, as far as it is looked at. */
export interface PlacedToken {
  readonly type: string
  readonly content: string
  readonly level: number
  /** First line and the line behind the last; null inside of a line. */
  readonly map: readonly [number, number] | null
  readonly children: readonly PlacedToken[] | null
}

interface Span {
  readonly start: number
  readonly end: number
}

/** A tag or comment where it stands in the source. */
interface Mark extends Span {
  /** Of the block of HTML or the paragraph that it is in. */
  readonly blockEnd: number
  readonly isInline: boolean
  readonly kind: 'comment' | 'open' | 'close'
  /** Of the element, lower-case; empty for a comment. */
  readonly name: string
  readonly isUnseen: boolean
  /** Without attributes. */
  readonly isBare: boolean
}

/** How many tags further the end of a hidden element is looked for. */
const marksAheadMax = 2_000
const mark = /<!--[\s\S]*?(?:-->|$)|<[?!][^>]*(?:>|$)|<(\/?)([a-z][a-z0-9-]*)((?:"[^"]*"|'[^']*'|[^'">])*)>/gi
const attribute = /([a-z][\w:-]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/gi
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

function lineStarts(text: string): readonly number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}

function* marksOf(text: string, tokens: readonly PlacedToken[], starts: readonly number[]): Generator<Mark> {
  let block: Span = { start: 0, end: 0 }
  let cursor = 0
  for (const { type, map, children } of tokens) {
    if (map !== null) block = { start: starts[map[0]] ?? text.length, end: (starts[map[1]] ?? text.length + 1) - 1 }
    if (map !== null) cursor = Math.max(cursor, block.start)
    if (type === 'html_block') yield* marksIn(text, block, { blockEnd: block.end, isInline: false })
    for (const child of children ?? []) {
      if (child.type !== 'html_inline' && child.type !== 'code_inline') continue
      const span = spanOf(text, child.content, cursor)
      if (span === null || span.end > block.end) continue
      cursor = span.end
      if (child.type === 'html_inline') yield* marksIn(text, span, { blockEnd: block.end, isInline: true })
    }
  }
}

/** Where `content` stands from `cursor` on. Its later lines may have lost the marks of the quote or list they are in. */
function spanOf(text: string, content: string, cursor: number): Span | null {
  const lines = content.split('\n')
  const start = text.indexOf(lines[0] ?? '', cursor)
  if (start === -1 || content === '') return null
  let end = start
  for (const line of lines) end = Math.max(end, text.indexOf(line, end) + line.length)
  return { start, end }
}

function* marksIn(text: string, { start, end }: Span, place: Pick<Mark, 'blockEnd' | 'isInline'>): Generator<Mark> {
  for (const { 0: whole, 1: slash, 2: written, 3: attributes = '', index } of text.slice(start, end).matchAll(mark)) {
    const span = { start: start + index, end: start + index + whole.length }
    const name = written?.toLowerCase() ?? ''
    if (written === undefined) yield { ...place, ...span, kind: 'comment', name, isUnseen: true, isBare: true }
    else if (slash === '/') yield { ...place, ...span, kind: 'close', name, isUnseen: false, isBare: true }
    else yield { ...place, ...span, kind: 'open', name, isUnseen: isUnseenTag(name, attributes), isBare: attributes.trim() === '' }
  }
}

function isUnseenTag(name: string, attributes: string): boolean {
  const values = new Map<string, string>()
  for (const [, key = '', double, single, bare] of attributes.matchAll(attribute))
    values.set(key.toLowerCase(), double ?? single ?? bare ?? '')
  return isUnseenElement(name, (key) => values.get(key) ?? null)
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
