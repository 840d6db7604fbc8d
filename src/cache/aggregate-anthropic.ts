/** From the events of a message to the one object that `stream: false` gives (golden test against the simulated node). */
import type { EnvelopeField } from '../core/envelope.ts'
import { decodeString } from '../wire/json-scan.ts'
import { fieldsIn, fieldsOf, objectText, rawInside, rawText } from './raw-json.ts'
import { eachData } from './sse-frames.ts'

type Fields = ReadonlyMap<string, EnvelopeField>

/** A content block as it grows: what is inside its quotes, or the text of a tool's input. */
interface Block {
  readonly kind: string
  readonly start: Fields
  text: string
}

class Message {
  readonly #body: Buffer
  #message: Fields | null = null
  readonly #blocks: Block[] = []
  #stopReason: string | null = null
  #usage: string | null = null
  #stopped = false

  constructor(body: Buffer) {
    this.#body = body
  }

  /** False: it holds something that is not known to go into a whole answer. */
  add(start: number): boolean {
    const body = this.#body
    const event = fieldsOf(body, start)
    if (event === null) return false
    switch (rawInside(body, event.get('type'))) {
      case 'message_start':
        this.#message = fieldsIn(body, event.get('message'))
        return this.#message !== null
      case 'content_block_start':
        return this.#open(fieldsIn(body, event.get('content_block')))
      case 'content_block_delta':
        return this.#grow(fieldsIn(body, event.get('delta')))
      case 'message_delta':
        return this.#close(event)
      case 'message_stop':
        this.#stopped = true
        return true
      case 'content_block_stop':
      case 'ping':
        return true
      default:
        return false
    }
  }

  #open(start: Fields | null): boolean {
    if (start === null) return false
    this.#blocks.push({ kind: rawInside(this.#body, start.get('type')), start, text: '' })
    return true
  }

  #grow(delta: Fields | null): boolean {
    const block = this.#blocks.at(-1)
    if (delta === null || block === undefined) return false
    const body = this.#body
    switch (rawInside(body, delta.get('type'))) {
      case 'text_delta':
        block.text += rawInside(body, delta.get('text'))
        return block.kind === 'text'
      case 'thinking_delta':
        block.text += rawInside(body, delta.get('thinking'))
        return block.kind === 'thinking'
      case 'input_json_delta': {
        const field = delta.get('partial_json')
        const json = field?.kind === 'string' ? decodeString(body, field.start, field.end) : null
        block.text += json ?? ''
        return json !== null && block.kind === 'tool_use'
      }
      default:
        return false
    }
  }

  #close(event: Fields): boolean {
    const body = this.#body
    const reason = fieldsIn(body, event.get('delta'))?.get('stop_reason')
    const usage = event.get('usage')
    if (reason === undefined || usage === undefined) return false
    this.#stopReason = rawText(body, reason)
    this.#usage = rawText(body, usage)
    return true
  }

  #blockText({ kind, start, text }: Block): string {
    const raw = (key: string): string | null => {
      const field = start.get(key)
      return field === undefined ? null : rawText(this.#body, field)
    }
    if (kind !== 'tool_use')
      return objectText([
        ['type', `"${kind}"`],
        [kind, `"${text}"`],
      ])
    // The input came as text inside a string: back to one character per byte.
    const input = text === '' ? '{}' : Buffer.from(text).latin1Slice(0, Buffer.byteLength(text))
    return objectText([
      ['type', '"tool_use"'],
      ['id', raw('id')],
      ['name', raw('name')],
      ['input', input],
    ])
  }

  text(): string | null {
    const message = this.#message
    if (message === null || !this.#stopped || this.#stopReason === null) return null
    const raw = (key: string): string | null => {
      const field = message.get(key)
      return field === undefined ? null : rawText(this.#body, field)
    }
    const pairs: (readonly [string, string | null])[] = [
      ['id', raw('id')],
      ['type', raw('type')],
      ['role', raw('role')],
      ['model', raw('model')],
      ['content', `[${this.#blocks.map((block) => this.#blockText(block)).join(',')}]`],
      ['stop_reason', this.#stopReason],
      ['usage', this.#usage],
    ]
    return `${objectText(pairs)}\n`
  }
}

/** The whole answer; null when the stream lacks something of it or holds something unknown. */
export function aggregateAnthropic(body: Buffer): Buffer | null {
  const message = new Message(body)
  let known = true
  eachData(body, (start) => {
    known = message.add(start)
    return known
  })
  const text = known ? message.text() : null
  return text === null ? null : Buffer.from(text, 'latin1')
}
