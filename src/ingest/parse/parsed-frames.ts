/**
 * A `ParsedDocument` as frames and back. Paths of headings are sent once and shared by the blocks below them, on both sides. Coming back, every
 * promise of `ParsedDocument` is checked: a parser that was taken over can send a wrong document, but not one that breaks its readers.
 */
import { z } from 'zod'

import type { Block, ParsedDocument } from '../../core/corpus.ts'
import { errorCatalogue, CorralError, type ErrorCode } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'
import type { Frame, FrameKind } from './frames.ts'

const textPieceChars = 250_000
const blocksPerFrame = 500
const pathCharsMax = 300
const pathDepthMax = 20
const warningsMax = 200
const textMax = 2_000

const kindSchema = z.enum(['heading', 'paragraph', 'list', 'quote', 'table', 'code', 'row'])
const blockSchema = z.tuple([
  kindSchema,
  z.int().min(0),
  z.int().min(1),
  z.int().min(1).nullable(),
  /** Index of its path among all that were sent. */
  z.int().min(0),
  z.int().min(1).max(6).nullable(),
])
const blocksSchema = z.object({
  paths: z.array(z.array(z.string().max(pathCharsMax)).max(pathDepthMax)).max(blocksPerFrame),
  blocks: z.array(blockSchema).max(blocksPerFrame),
})
const doneSchema = z.object({
  title: z.string().max(textMax).nullable(),
  contentType: z.string().max(200),
  pages: z.int().min(1).nullable(),
  warnings: z.array(z.string().max(textMax)).max(warningsMax),
})
const failedSchema = z.object({ code: z.string().max(100), message: z.string().max(textMax) })

/** The frames of a document, in order, one at a time. */
export function* documentFrames({ text, blocks, ...rest }: ParsedDocument): Generator<{ kind: FrameKind; payload: string }> {
  for (let at = 0; at < text.length;) {
    // A piece never ends inside a surrogate pair.
    const end = /[\ud800-\udbff]/.test(text.charAt(at + textPieceChars - 1)) ? at + textPieceChars - 1 : at + textPieceChars
    yield { kind: 'text', payload: text.slice(at, end) }
    at = end
  }
  let last: readonly string[] | null = null
  let pathCount = 0
  for (let at = 0; at < blocks.length; at += blocksPerFrame) {
    const paths: string[][] = []
    const rows = blocks.slice(at, at + blocksPerFrame).map((block) => {
      if (last === null || !isSamePath(last, block.headings)) {
        paths.push(block.headings.slice(0, pathDepthMax).map((heading) => heading.slice(0, pathCharsMax).toWellFormed()))
        pathCount += 1
        last = block.headings
      }
      return [block.kind, block.start, block.end, block.page, pathCount - 1, block.level]
    })
    yield { kind: 'blocks', payload: JSON.stringify({ paths, blocks: rows }) }
  }
  yield {
    kind: 'done',
    payload: JSON.stringify({ ...rest, warnings: rest.warnings.slice(0, warningsMax).map((line) => line.slice(0, textMax)) }),
  }
}

function isSamePath(one: readonly string[], other: readonly string[]): boolean {
  return one === other || (one.length === other.length && one.every((heading, index) => heading === other[index]))
}

/** The `failed` frame of an error. */
export function failureText(error: CorralError): string {
  return JSON.stringify({ code: error.code, message: error.message.slice(0, textMax) })
}

/** Puts the answer of a parser process together. Throws when a frame is not what a parser may send. */
export class AnswerReader {
  readonly #limits: ParseLimits
  readonly #text: string[] = []
  readonly #blocks: Block[] = []
  readonly #paths: (readonly string[])[] = []
  #length = 0

  constructor(limits: ParseLimits) {
    this.#limits = limits
  }

  /** The document, or the error that the parser found; null while more frames must come. */
  push({ kind, payload }: Frame): ParsedDocument | CorralError | null {
    switch (kind) {
      case 'text':
        this.#addText(payload.toString())
        return null
      case 'blocks':
        this.#addBlocks(payload.toString())
        return null
      case 'done':
        return this.#finish(payload.toString())
      case 'failed':
        return failureOf(payload.toString())
      default:
        throw new Error(`a parser process does not send ${kind} frames`)
    }
  }

  #addText(text: string): void {
    this.#length += text.length
    if (this.#length > this.#limits.textChars) throw new Error('the parser process sent more text than it may')
    this.#text.push(text)
  }

  #addBlocks(payload: string): void {
    const { paths, blocks } = blocksSchema.parse(JSON.parse(payload))
    this.#paths.push(...paths)
    if (this.#blocks.length + blocks.length > this.#limits.blocks) throw new Error('the parser process sent more blocks than it may')
    for (const [kind, start, end, page, path, level] of blocks) {
      const headings = this.#paths[path]
      const isPlaced = start >= (this.#blocks.at(-1)?.end ?? 0) && end > start && end <= this.#length
      if (!isPlaced || headings === undefined) throw new Error('the parser process sent blocks that overlap or lie outside of the text')
      this.#blocks.push({ kind, start, end, page, headings, level })
    }
  }

  #finish(payload: string): ParsedDocument {
    return { ...doneSchema.parse(JSON.parse(payload)), text: this.#text.join(''), blocks: this.#blocks }
  }
}

function failureOf(payload: string): CorralError {
  const { code, message } = failedSchema.parse(JSON.parse(payload))
  if (!isDocumentCode(code)) throw new Error('the parser process sent an error that is not its own')
  return new CorralError(code, message)
}

function isDocumentCode(code: string): code is ErrorCode & `document_${string}` {
  return code.startsWith('document_') && code in errorCatalogue
}
