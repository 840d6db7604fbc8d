/**
 * Where the content of a Markdown token stands in the source. The parser tells lines only, and content has lost what stands around it there:
 * the marks of quotes and lists it is in, and of a cell the escapes of its bars. All of it takes time in proportion to the text: whoever
 * writes a document must not decide how long it is looked at.
 */

/** Of the Markdown parser, as far as it is looked at. */
export interface PlacedToken {
  readonly type: string
  readonly content: string
  /** What begins and ends it: of code in a line its backticks. */
  readonly markup: string
  readonly level: number
  /** First line and the line behind the last; null inside of a line. */
  readonly map: readonly [number, number] | null
  readonly children: readonly PlacedToken[] | null
}

export interface Span {
  readonly start: number
  readonly end: number
}

/** Gives the place in the source of an offset in content; it is asked for them in order. */
export type Placing = (offset: number) => number

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
export function placeCell(
  text: string,
  { content, children }: PlacedToken,
  { start, end }: Span,
): { readonly written: string; readonly parts: readonly PlacedToken[]; readonly place: Placing; readonly end: number } {
  const written = escapeBars(content)
  const at = Math.max(start, start + text.slice(start, end).indexOf(written))
  const parts = (children ?? []).map((part) => ({ ...part, content: escapeBars(part.content) }))
  return { written, parts, place: (offset) => at + offset, end: at + written.length }
}

/** Any bar in a cell was written with a backslash: a bare one ends it. */
function escapeBars(content: string): string {
  return content.replaceAll('|', '\\|')
}

/** Where tags and code stand in the content of the line or paragraph that they are parts of. */
export function* placesOf(content: string, parts: readonly PlacedToken[]): Generator<Span & { readonly part: PlacedToken }> {
  // Line ends in code are blanks in what the parser gives.
  const flat = content.replaceAll('\n', ' ')
  let at = 0
  for (const part of parts) {
    if (part.type !== 'html_inline' && part.type !== 'code_inline') continue
    const span = part.type === 'html_inline' ? tagAt(content, part, at) : codeAt(flat, part, at)
    if (span === null) return
    at = span.end
    yield { ...span, part }
  }
}

function tagAt(content: string, { content: tag }: PlacedToken, from: number): Span | null {
  for (let start = content.indexOf('<', from); start !== -1; start = content.indexOf('<', start + 1)) {
    if (content.startsWith(tag, start) && !isEscaped(content, start)) return { start, end: start + tag.length }
  }
  return null
}

function codeAt(flat: string, { content: code, markup }: PlacedToken, from: number): Span | null {
  for (let start = flat.indexOf(markup, from); start !== -1; start = flat.indexOf(markup, start + 1)) {
    for (const inner of [code, ` ${code} `]) {
      const end = start + markup.length + inner.length
      if (flat.startsWith(inner, start + markup.length) && flat.startsWith(markup, end)) return { start, end: end + markup.length }
    }
  }
  return null
}

function isEscaped(content: string, at: number): boolean {
  let first = at
  while (content.charAt(first - 1) === '\\') first -= 1
  return (at - first) % 2 === 1
}
