/**
 * Blocks over a text that is its own source (Markdown, plain text, code, JSON): nothing is rewritten, so a citation shows exactly what the
 * file says. Blocks are given by lines; blank edges are trimmed off.
 */
import type { Block, BlockKind, ParsedDocument } from '../../core/corpus.ts'
import type { ParseLimits } from '../limits.ts'
import { assertRoom, HeadingPath, titleOf, Warnings } from './document-builder.ts'

/** Lines `from` (from 0) to before `to`. */
export interface LineRange {
  readonly from: number
  readonly to: number
}

export class SourceText {
  readonly warnings = new Warnings()
  readonly headings = new HeadingPath()
  readonly text: string
  readonly #limits: ParseLimits
  readonly #starts: number[] = [0]
  readonly #blocks: Block[] = []

  /** `text` is cleaned already. */
  constructor(text: string, limits: ParseLimits) {
    this.text = text
    this.#limits = limits
    assertRoom(limits, { chars: text.length, blocks: 0 })
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) this.#starts.push(at + 1)
  }

  get lineCount(): number {
    return this.#starts.length
  }

  /** Line `index` without its line end. */
  line(index: number): string {
    return this.text.slice(this.#startOf(index), this.#endOf(index))
  }

  /** Adds lines as a block; what lies before the last block's end is left out. */
  addLines(kind: BlockKind, { from, to }: LineRange, heading?: { readonly level: number; readonly text: string }): void {
    this.addRange(kind, { start: this.#startOf(from), end: this.#endOf(to - 1) }, heading)
  }

  /** Adds a range of offsets as a block, without blank edges; nothing when it is blank. */
  addRange(kind: BlockKind, range: { start: number; end: number }, heading?: { readonly level: number; readonly text: string }): void {
    let start = Math.max(range.start, this.#blocks.at(-1)?.end ?? 0)
    let end = Math.min(range.end, this.text.length)
    while (end > start && /\s/.test(this.text.charAt(end - 1))) end -= 1
    // The indent of a first line belongs to the block: it is the shape of code and of lists.
    let first = start
    while (first < end && /\s/.test(this.text.charAt(first))) first += 1
    if (first === end) return
    const lineStart = this.text.lastIndexOf('\n', first) + 1
    start = kind === 'heading' ? first : Math.max(start, Math.min(first, lineStart))
    assertRoom(this.#limits, { chars: end, blocks: this.#blocks.length + 1 })
    const headings = heading === undefined ? this.headings.current() : this.headings.enter(heading.level, heading.text)
    this.#blocks.push({ kind, start, end, page: null, headings, level: heading?.level ?? null })
  }

  finish(contentType: string, title: string | null = null): ParsedDocument {
    return { title: titleOf(title), text: this.text, blocks: this.#blocks, contentType, pages: null, warnings: this.warnings.list() }
  }

  #startOf(index: number): number {
    return this.#starts[index] ?? this.text.length
  }

  #endOf(index: number): number {
    const next = this.#starts[index + 1]
    return next === undefined ? this.text.length : next - 1
  }
}
