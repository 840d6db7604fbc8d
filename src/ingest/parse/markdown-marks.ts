/** Tags and comments of HTML in Markdown, where they stand in the source, with what each says of being seen. */
import { isUnseenElement } from './html-hidden.ts'
import { type PlacedToken, placeCell, placeLines, type Placing, type Span, tagStart } from './markdown-places.ts'

export interface Mark extends Span {
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

/**
 * A tag that is left open ends before the next one: what it says counts, and no attempt reads on into the tags behind it, which would take the
 * square of their number. For the same reason each character can be taken in one way only.
 */
const mark =
  /<!--[\s\S]*?(?:-->|$)|<[?!][^>]*(?:>|$)|<(\/?)([a-z][a-z0-9-]*)(?![a-z0-9-])([^'"<>]*(?:(?:"[^"]*"|'[^']*')[^'"<>]*)*)(?:>|(?=<)|$)/gi
const attribute = /([a-z][\w:-]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/gi

/** In the order of `tokens`, which were parsed of `text` by a parser with `noteTagPlaces`; `starts` are those of its lines. */
export function* marksOf(text: string, tokens: readonly PlacedToken[], starts: readonly number[]): Generator<Mark> {
  let block: Span = { start: 0, end: 0 }
  let cellsEnd = 0
  for (const token of tokens) {
    const { type, map, content, children } = token
    if (map !== null) {
      block = { start: starts[map[0]] ?? text.length, end: (starts[map[1]] ?? text.length + 1) - 1 }
      cellsEnd = block.start
    }
    const from = map?.[0] ?? null
    const blockEnd = block.end
    if (type === 'html_block' && from !== null) {
      yield* marksIn(content, { place: placeLines(text, content, { starts, from }), blockEnd, isInline: false })
    } else if (type === 'inline' && from !== null) {
      if (hasTag(token)) yield* marksInLines(children ?? [], { place: placeLines(text, content, { starts, from }), blockEnd })
    } else if (type === 'inline') {
      const cell = placeCell(text, content, { start: cellsEnd, end: blockEnd })
      yield* marksInLines(children ?? [], { place: cell.place, blockEnd })
      cellsEnd = cell.end
    }
  }
}

interface Block {
  /** Of the content. */
  readonly place: Placing
  readonly blockEnd: number
}

function hasTag({ children }: PlacedToken): boolean {
  return children?.some((part) => tagStart(part) !== null) ?? false
}

function* marksInLines(parts: readonly PlacedToken[], { place, blockEnd }: Block): Generator<Mark> {
  for (const part of parts) {
    const start = tagStart(part)
    if (start !== null) yield* marksIn(part.content, { place: (offset) => place(start + offset), blockEnd, isInline: true })
  }
}

function* marksIn(content: string, { place, blockEnd, isInline }: Block & Pick<Mark, 'isInline'>): Generator<Mark> {
  for (const { 0: whole, 1: slash, 2: written, 3: attributes = '', index } of content.matchAll(mark)) {
    const start = place(index)
    const at = { start, end: Math.min(place(index + whole.length - 1) + 1, blockEnd), blockEnd, isInline }
    const name = written?.toLowerCase() ?? ''
    if (written === undefined) yield { ...at, kind: 'comment', name, isUnseen: true, isBare: true }
    else if (slash === '/') yield { ...at, kind: 'close', name, isUnseen: false, isBare: true }
    else yield { ...at, kind: 'open', name, isUnseen: isUnseenTag(name, attributes), isBare: attributes.trim() === '' }
  }
}

function isUnseenTag(name: string, attributes: string): boolean {
  const values = new Map<string, string>()
  for (const [, key = '', double, single, bare] of attributes.matchAll(attribute))
    values.set(key.toLowerCase(), double ?? single ?? bare ?? '')
  return isUnseenElement(name, (key) => values.get(key) ?? null)
}
