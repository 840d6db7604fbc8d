/**
 * Plain text and source code, each its own source. Text is cut at blank lines; numbered or underlined lines count as headings only where
 * nothing else can be meant. Code is cut where a new definition begins at the left margin.
 */
import type { BlockKind, ParsedDocument } from '../../core/corpus.ts'
import type { ParseLimits } from '../limits.ts'
import { titleOf } from './document-builder.ts'
import { SourceText } from './source-text.ts'

const codeLinesMax = 120
const titleLineCharsMax = 120
/** A definition shorter than this stays with the one before it. */
const codeLinesMin = 8

/** `text` is cleaned already. */
export function parsePlainText(text: string, limits: ParseLimits): ParsedDocument {
  const source = new SourceText(text, limits)
  let title: string | null = null
  for (let from = 0; from < source.lineCount;) {
    const to = paragraphEnd(source, from)
    const heading = underlined(source, from, to)
    if (heading === null) source.addLines(kindOf(source, from, to), { from, to })
    else {
      source.addLines('heading', { from, to: from + 2 }, heading)
      if (to > from + 2) source.addLines('paragraph', { from: from + 2, to })
    }
    title ??= heading?.text ?? null
    from = to
  }
  return source.finish('text/plain', title)
}

/** A heading over a line of `===` or `---`. */
function underlined(source: SourceText, from: number, to: number): { level: number; text: string } | null {
  if (to < from + 2) return null
  const text = source.line(from).trim()
  const rule = /^(?:(={3,})|(-{3,}))\s*$/.exec(source.line(from + 1))
  if (rule === null || text === '' || text.length > titleLineCharsMax) return null
  return { level: rule[1] === undefined ? 2 : 1, text }
}

function kindOf(source: SourceText, from: number, to: number): BlockKind {
  let items = 0
  for (let index = from; index < to; index += 1) if (/^\s*(?:[-*•]|\d{1,3}[.)])\s+\S/.test(source.line(index))) items += 1
  return items >= 2 && items * 2 >= to - from ? 'list' : 'paragraph'
}

/** The line after the paragraph that begins at `from`, with the blank lines before it. */
function paragraphEnd(source: SourceText, from: number): number {
  let index = from
  while (index < source.lineCount && source.line(index).trim() === '') index += 1
  while (index < source.lineCount && source.line(index).trim() !== '') index += 1
  return Math.max(index, from + 1)
}

/** `text` is cleaned already; `language` by name or first line, for the media type only. */
export function parseCode(text: string, language: string, limits: ParseLimits): ParsedDocument {
  const source = new SourceText(text, limits)
  let from = 0
  for (let index = 1; index < source.lineCount; index += 1) {
    const isFull = index - from >= codeLinesMax
    if (!isFull && (index - from < codeLinesMin || !startsDefinition(source, index))) continue
    source.addLines('code', { from, to: index })
    from = index
  }
  source.addLines('code', { from, to: source.lineCount })
  return source.finish(`text/x-${language}`, titleOf(null))
}

/** A line at the left margin that follows a blank one and does not close what stands before it. */
function startsDefinition(source: SourceText, index: number): boolean {
  return source.line(index - 1).trim() === '' && /^[^\s)}\]]/.test(source.line(index))
}
