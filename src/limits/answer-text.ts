/**
 * The words of an answer, whatever dialect it came in: what a model said, without thinking, calls of tools, vectors and counts. Of
 * several choices the first. Reads frames one by one and keeps a bounded text; frames that are no JSON say nothing.
 */
import type { Framing } from '../core/route.ts'

/** A text cut to a number of bytes. */
export interface BoundedText {
  readonly text: string
  readonly isCut: boolean
}

/** Longest frame that is parsed; a longer one is no token. */
const frameBytesMax = 262_144
/** Longest body that is parsed. */
const bodyBytesMax = 4 * 1_048_576

/** Gathers the words of a stream until `bytesMax` of UTF-8. */
export class AnswerText {
  readonly #framing: Framing
  readonly #bytesMax: number
  readonly #parts: string[] = []
  #bytes = 0

  constructor(framing: Framing, bytesMax: number) {
    this.#framing = framing
    this.#bytesMax = bytesMax
  }

  /** One or more whole frames. */
  add(frames: Buffer): void {
    if (this.#bytes > this.#bytesMax || this.#framing === 'none') return
    for (let start = 0; start < frames.length;) {
      let end = frames.indexOf(0x0a, start)
      if (end < 0) end = frames.length
      if (end - start <= frameBytesMax) this.#addLine(frames.toString('utf8', start, end))
      start = end + 1
    }
  }

  /** The words of a body in one piece. */
  addBody(body: Buffer): void {
    if (body.length <= bodyBytesMax) this.#addWords(wordsIn(parse(body.toString())))
  }

  /** Null: nothing was said. */
  get result(): BoundedText | null {
    return this.#parts.length === 0 ? null : boundedText(this.#parts.join(''), this.#bytesMax)
  }

  #addLine(line: string): void {
    const json = this.#framing === 'ndjson' ? line : line.startsWith('data: ') ? line.slice(6) : ''
    if (json.startsWith('{')) this.#addWords(wordsIn(parse(json)))
  }

  #addWords(words: string): void {
    if (words === '' || this.#bytes > this.#bytesMax) return
    this.#parts.push(words)
    this.#bytes += Buffer.byteLength(words)
  }
}

/** At most `bytesMax` of UTF-8, no half of a character, as Postgres takes it. */
export function boundedText(text: string | Buffer, bytesMax: number): BoundedText {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  let end = Math.min(bytes.length, bytesMax)
  while (end > 0 && end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return { text: bytes.toString('utf8', 0, end).replaceAll('\0', ''), isCut: end < bytes.length }
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return null
  }
}

/** Of a whole answer or a frame: Ollama's `message.content` and `response`, OpenAI's choices, Responses' and Anthropic's parts. */
function wordsIn(value: unknown): string {
  const choice = first(fieldOf(value, 'choices'))
  const places = [
    fieldOf(fieldOf(value, 'message'), 'content'),
    fieldOf(value, 'response'),
    fieldOf(fieldOf(choice, 'delta'), 'content'),
    fieldOf(fieldOf(choice, 'message'), 'content'),
    fieldOf(choice, 'text'),
    deltaOf(value),
  ]
  for (const place of places) if (typeof place === 'string') return place
  return partsIn(fieldOf(value, 'content')) + itemsIn(fieldOf(value, 'output'))
}

function deltaOf(event: unknown): unknown {
  switch (fieldOf(event, 'type')) {
    case 'response.output_text.delta':
      return fieldOf(event, 'delta')
    case 'content_block_delta':
      return fieldOf(fieldOf(event, 'delta'), 'text')
    default:
      return undefined
  }
}

/** Texts of Anthropic's `content` and of a message of Responses. */
function partsIn(parts: unknown): string {
  if (!Array.isArray(parts)) return ''
  const texts: string[] = []
  for (const part of parts) {
    const text = fieldOf(part, 'text')
    if (typeof text === 'string') texts.push(text)
  }
  return texts.join('')
}

function itemsIn(items: unknown): string {
  if (!Array.isArray(items)) return ''
  return items.map((item) => (fieldOf(item, 'type') === 'message' ? partsIn(fieldOf(item, 'content')) : '')).join('')
}

function first(list: unknown): unknown {
  return Array.isArray(list) ? list[0] : undefined
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined
}
