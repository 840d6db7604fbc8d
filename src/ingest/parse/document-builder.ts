/**
 * Puts a `ParsedDocument` together block by block, for formats whose text is made here (the others cite their own source, see
 * `source-text.ts`). Holds the caps on text and blocks, keeps the path of headings, and writes what every parser would otherwise repeat.
 */
import type { Block, BlockKind, ParsedDocument } from '../../core/corpus.ts'
import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'
import { cleanLine, cleanText } from './clean-text.ts'

const warningsMax = 100
const titleCharsMax = 300
const titleBlocksMax = 3

export interface BlockPlace {
  readonly page?: number | null
  /** Of a heading, 1–6. */
  readonly level?: number
  /** Text between the block before and this one. */
  readonly gap?: string
}

/** The headings above a place, outermost first. */
export class HeadingPath {
  #path: { readonly level: number; readonly text: string }[] = []

  /** The path above a heading of `level`, which then is part of it. */
  enter(level: number, text: string): readonly string[] {
    this.#path = this.#path.filter((heading) => heading.level < level)
    const above = this.current()
    this.#path.push({ level, text })
    return above
  }

  current(): readonly string[] {
    return this.#path.map(({ text }) => text)
  }

  clear(): void {
    this.#path = []
  }
}

/** Notes for the owner of a document, in order, no more than `warningsMax`. */
export class Warnings {
  readonly #texts: string[] = []
  #left = 0

  add(text: string): void {
    if (this.#texts.includes(text)) return
    if (this.#texts.length < warningsMax) this.#texts.push(text)
    else this.#left += 1
  }

  list(): readonly string[] {
    return this.#left === 0 ? this.#texts : [...this.#texts, `${this.#left} more warnings are left out`]
  }
}

export class DocumentBuilder {
  readonly warnings = new Warnings()
  readonly headings = new HeadingPath()
  readonly #limits: ParseLimits
  readonly #parts: string[] = []
  readonly #blocks: Block[] = []
  #length = 0

  constructor(limits: ParseLimits) {
    this.#limits = limits
  }

  /** Adds a block; nothing when its text is blank. Throws `document_too_large` over the caps. */
  add(kind: BlockKind, raw: string, { page = null, level = 1, gap = '\n\n' }: BlockPlace = {}): void {
    const text =
      kind === 'heading'
        ? cleanLine(raw)
        : cleanText(raw)
            .replace(/^(?:[^\S\n]*\n)+/, '')
            .trimEnd()
    if (text.trim() === '') return
    const before = this.#length === 0 ? '' : gap
    const start = this.#length + before.length
    const headings = kind === 'heading' ? this.headings.enter(level, text) : this.headings.current()
    assertRoom(this.#limits, { chars: start + text.length, blocks: this.#blocks.length + 1 })
    this.#parts.push(before, text)
    this.#length = start + text.length
    this.#blocks.push({ kind, start, end: this.#length, page, headings, level: kind === 'heading' ? level : null })
  }

  finish(contentType: string, { title = null, pages = null }: { title?: string | null; pages?: number | null } = {}): ParsedDocument {
    const text = this.#parts.join('')
    return {
      title: titleOf(title) ?? this.#headingTitle(text),
      text,
      blocks: this.#blocks,
      contentType,
      pages,
      warnings: this.warnings.list(),
    }
  }

  /** A heading of the first level is the title when it opens the document, or stands near its begin and is the only one. */
  #headingTitle(text: string): string | null {
    const tops = this.#blocks.filter(({ level }) => level === 1)
    const first = tops[0]
    const at = first === undefined ? -1 : this.#blocks.indexOf(first)
    const isTitle = at === 0 || (tops.length === 1 && at > 0 && at < titleBlocksMax)
    return first === undefined || !isTitle ? null : titleOf(text.slice(first.start, first.end))
  }
}

/** A title in one line; null when there is nothing in it. */
export function titleOf(text: string | null | undefined): string | null {
  const line = cleanLine((text ?? '').slice(0, titleCharsMax * 4))
    .slice(0, titleCharsMax)
    .toWellFormed()
  return line === '' ? null : line
}

/** Throws `document_too_large` when there is more text, or more blocks, than one document may have. */
export function assertRoom(limits: ParseLimits, { chars, blocks }: { chars: number; blocks: number }): void {
  if (chars > limits.textChars)
    throw new CorralError('document_too_large', `the text is longer than ${limits.textChars} characters: split it`)
  if (blocks > limits.blocks) throw new CorralError('document_too_large', `the document has more than ${limits.blocks} blocks: split it`)
}
