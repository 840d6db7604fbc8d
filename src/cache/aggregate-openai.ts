/** From the chunks of a chat completion to the one object that `stream: false` gives (golden test against the simulated node). */
import type { EnvelopeField } from '../core/envelope.ts'
import { fieldsIn, fieldsOf, hasOnly, itemsOf, joinItems, objectText, rawInside, rawText } from './raw-json.ts'
import { eachData } from './sse-frames.ts'

const chunkKeys: ReadonlySet<string> = new Set(['id', 'object', 'created', 'model', 'system_fingerprint', 'choices', 'usage'])
const choiceKeys: ReadonlySet<string> = new Set(['index', 'delta', 'finish_reason', 'logprobs'])
const deltaKeys: ReadonlySet<string> = new Set(['role', 'content', 'reasoning', 'tool_calls'])
const headKeys = ['id', 'created', 'model', 'system_fingerprint'] as const

class Completion {
  readonly #body: Buffer
  #head: ReadonlyMap<string, EnvelopeField> | null = null
  #content = ''
  #reasoning = ''
  #toolCalls = ''
  #logprobs = ''
  #finish: string | null = null
  #usage: string | null = null

  constructor(body: Buffer) {
    this.#body = body
  }

  /** False: it holds something that is not known to go into a whole answer. */
  add(start: number): boolean {
    const chunk = fieldsOf(this.#body, start)
    if (chunk === null || !hasOnly(chunk, chunkKeys)) return false
    this.#head ??= chunk
    const usage = chunk.get('usage')
    if (usage?.kind === 'object') this.#usage = rawText(this.#body, usage)
    const choices = itemsOf(this.#body, chunk.get('choices'))
    const [choice] = choices
    return choices.length <= 1 && (choice === undefined || this.#addChoice(fieldsIn(this.#body, choice)))
  }

  #addChoice(choice: ReadonlyMap<string, EnvelopeField> | null): boolean {
    const body = this.#body
    if (choice === null || !hasOnly(choice, choiceKeys)) return false
    const index = choice.get('index')
    const delta = fieldsIn(body, choice.get('delta'))
    if (delta === null || !hasOnly(delta, deltaKeys) || (index !== undefined && rawText(body, index) !== '0')) return false
    this.#content += rawInside(body, delta.get('content'))
    this.#reasoning += rawInside(body, delta.get('reasoning'))
    this.#toolCalls = joinItems(this.#toolCalls, rawInside(body, delta.get('tool_calls')))
    this.#logprobs = joinItems(this.#logprobs, rawInside(body, fieldsIn(body, choice.get('logprobs'))?.get('content')))
    const finish = choice.get('finish_reason')
    if (finish?.kind === 'string') this.#finish = rawText(body, finish)
    return true
  }

  /** Null: no head, no usage or no reason to finish was in the chunks. */
  text(): string | null {
    const head = this.#head
    if (head === null || this.#usage === null || this.#finish === null) return null
    const [id, created, model, fingerprint] = headKeys.map((key) => {
      const field = head.get(key)
      return field === undefined ? null : rawText(this.#body, field)
    })
    const message = objectText([
      ['role', '"assistant"'],
      ['content', `"${this.#content}"`],
      ['reasoning', this.#reasoning === '' ? null : `"${this.#reasoning}"`],
      ['tool_calls', this.#toolCalls === '' ? null : `[${this.#toolCalls}]`],
    ])
    const choice = objectText([
      ['index', '0'],
      ['message', message],
      ['finish_reason', this.#finish],
      ['logprobs', this.#logprobs === '' ? null : `{"content":[${this.#logprobs}]}`],
    ])
    const pairs: (readonly [string, string | null])[] = [
      ['id', id ?? null],
      ['object', '"chat.completion"'],
      ['created', created ?? null],
      ['model', model ?? null],
      ['system_fingerprint', fingerprint ?? null],
      ['choices', `[${choice}]`],
      ['usage', this.#usage],
    ]
    return `${objectText(pairs)}\n`
  }
}

/** The whole answer; null when the stream lacks something of it or holds something unknown. */
export function aggregateOpenAiChat(body: Buffer): Buffer | null {
  const completion = new Completion(body)
  let ended = false
  eachData(body, (start, end) => {
    ended = body.latin1Slice(start, end).trimEnd() === '[DONE]'
    return !ended && completion.add(start)
  })
  const text = ended ? completion.text() : null
  return text === null ? null : Buffer.from(text, 'latin1')
}
