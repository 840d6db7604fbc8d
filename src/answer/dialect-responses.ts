/**
 * Events of `/v1/responses`, numbered, in the order of the real server: the response is created and in progress; an item for what the model thinks,
 * if it does; an item for the message with its one part; the response is completed. Citations are annotations of that part: `url_citation` for a
 * document with a web address, `file_citation` for any other, each with ours whole beside it. A stop by length is told as Ollama tells it, as
 * completed.
 */
import type { Citation } from '../core/citation.ts'
import type { Outcome } from '../core/relay.ts'
import type { FinishedAnswer } from './answer-stream.ts'
import { addressOf } from './dialect-openai.ts'
import { type DialectFacts, type DialectWriter, tokensOf, type WholeParts } from './dialect.ts'

/** Fields of a response that say what was asked. */
export interface ResponsesEcho {
  /** Null: the client gave none. */
  readonly instructions: string | null
  readonly temperature: number
  readonly topP: number
  /** Null: no limit of the client's own. */
  readonly outputTokensMax: number | null
}

type Item = Readonly<Record<string, unknown>>

interface OpenItem {
  readonly kind: 'message' | 'reasoning'
  text: string
}

export class ResponsesDialect implements DialectWriter {
  readonly streamType = 'text/event-stream'
  readonly wholeType = 'application/json'
  readonly listsSources = true
  readonly #facts: DialectFacts
  readonly #echo: ResponsesEcho
  readonly #createdAt: number
  readonly #output: Item[] = []
  readonly #annotations: object[] = []
  #open: OpenItem | null = null
  /** Characters of the messages before the one under way. */
  #saidBefore = 0
  #sequence = 0

  constructor(facts: DialectFacts, echo: ResponsesEcho) {
    this.#facts = facts
    this.#echo = echo
    this.#createdAt = this.#nowSeconds()
  }

  begin(): string {
    const response = this.#response('in_progress', null)
    return this.#event('response.created', { response }) + this.#event('response.in_progress', { response })
  }

  text(text: string): string {
    const opened = this.#switch('message')
    if (this.#open !== null) this.#open.text += text
    return opened + this.#event('response.output_text.delta', { ...this.#part(), delta: text, logprobs: [] })
  }

  thinking(text: string): string {
    const opened = this.#switch('reasoning')
    if (this.#open !== null) this.#open.text += text
    return opened + this.#event('response.reasoning_summary_text.delta', { ...this.#place(), summary_index: 0, delta: text })
  }

  citation(citation: Citation): string {
    const opened = this.#switch('message')
    const annotation = annotationOf(citation, this.#saidBefore)
    const fields = { ...this.#part(), annotation_index: this.#annotations.length, annotation }
    this.#annotations.push(annotation)
    return opened + this.#event('response.output_text.annotation.added', fields)
  }

  end({ outcome }: FinishedAnswer): string {
    // An answer without a word is a message without text.
    const last = this.#switch('message') + this.#close()
    return last + this.#event('response.completed', { response: this.#response('completed', outcome) })
  }

  whole({ text, thinking, finished: { summary, outcome } }: WholeParts): string {
    if (thinking !== '') this.#output.push(this.#reasoningItem(thinking))
    const annotations = summary.citations.map((citation) => annotationOf(citation, 0))
    this.#output.push(this.#messageItem([textPart(text, annotations)], 'completed'))
    return `${JSON.stringify(this.#response('completed', outcome))}\n`
  }

  #switch(kind: OpenItem['kind']): string {
    if (this.#open?.kind === kind) return ''
    const closed = this.#close()
    this.#open = { kind, text: '' }
    const item = kind === 'message' ? this.#messageItem([], 'in_progress') : { id: this.#id(kind), type: 'reasoning', summary: [] }
    const added = this.#event('response.output_item.added', { output_index: this.#output.length, item })
    const part = kind === 'message' ? this.#event('response.content_part.added', { ...this.#part(), part: textPart('', []) }) : ''
    return closed + added + part
  }

  #close(): string {
    if (this.#open === null) return ''
    const { kind, text } = this.#open
    const said = textPart(text, this.#annotations.splice(0))
    const item = kind === 'message' ? this.#messageItem([said], 'completed') : this.#reasoningItem(text)
    const done =
      kind === 'message'
        ? this.#event('response.output_text.done', { ...this.#part(), text, logprobs: [] }) +
          this.#event('response.content_part.done', { ...this.#part(), part: said })
        : this.#event('response.reasoning_summary_text.done', { ...this.#place(), summary_index: 0, text })
    const closed = done + this.#event('response.output_item.done', { output_index: this.#output.length, item })
    this.#output.push(item)
    if (kind === 'message') this.#saidBefore += text.length
    this.#open = null
    return closed
  }

  /** Of the item under way: its place in the output is its number. */
  #id(kind: OpenItem['kind']): string {
    return `${kind === 'message' ? 'msg' : 'rs'}_${this.#facts.id}_${this.#output.length}`
  }

  #place(): object {
    return { item_id: this.#id(this.#open?.kind ?? 'message'), output_index: this.#output.length }
  }

  #part(): object {
    return { ...this.#place(), content_index: 0 }
  }

  #messageItem(content: readonly object[], status: string): Item {
    return { id: this.#id('message'), type: 'message', status, role: 'assistant', content }
  }

  #reasoningItem(text: string): Item {
    return { id: this.#id('reasoning'), type: 'reasoning', summary: [{ type: 'summary_text', text }], encrypted_content: text }
  }

  #event(type: string, fields: object): string {
    const data = { type, sequence_number: this.#sequence, ...fields }
    this.#sequence += 1
    return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`
  }

  /** `outcome`: of a response that is complete. */
  #response(status: string, outcome: Outcome | null): object {
    const { instructions, temperature, topP, outputTokensMax } = this.#echo
    return {
      id: `resp_${this.#facts.id}`,
      object: 'response',
      created_at: this.#createdAt,
      completed_at: outcome === null ? null : this.#nowSeconds(),
      status,
      model: this.#facts.model,
      instructions,
      output: [...this.#output],
      temperature,
      top_p: topP,
      max_output_tokens: outputTokensMax,
      usage: outcome === null ? null : usageOf(outcome),
      ...fixedFields,
    }
  }

  #nowSeconds(): number {
    return Math.floor(this.#facts.wallMs() / 1_000)
  }
}

/** What the real server says of every response that asks for nothing of the kind. */
const fixedFields = {
  incomplete_details: null,
  previous_response_id: null,
  error: null,
  tools: [],
  tool_choice: 'auto',
  truncation: 'disabled',
  parallel_tool_calls: true,
  text: { format: { type: 'text' } },
  presence_penalty: 0,
  frequency_penalty: 0,
  top_logprobs: 0,
  reasoning: null,
  max_tool_calls: null,
  store: false,
  background: false,
  service_tier: 'default',
  metadata: {},
  safety_identifier: null,
  prompt_cache_key: null,
}

function textPart(text: string, annotations: readonly object[]): object {
  return { type: 'output_text', text, annotations, logprobs: [] }
}

/** Offsets are in a message that begins after so many characters of the answer. */
function annotationOf(citation: Citation, saidBefore: number): object {
  const { uri, document, title, answer, marker } = citation
  const within = (offset: number): number => Math.max(0, offset - saidBefore)
  if (uri === null || !/^https?:/i.test(uri)) {
    const filename = title === '' ? document : title
    return { type: 'file_citation', file_id: document, filename, index: within(marker.start), corral: citation }
  }
  const place = addressOf({ ...citation, answer: { ...answer, start: within(answer.start), end: within(answer.end) } })
  return { type: 'url_citation', ...place, corral: citation }
}

function usageOf(outcome: Outcome): object {
  const { prompt, output } = tokensOf(outcome)
  const details = { input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } }
  return { input_tokens: prompt, output_tokens: output, total_tokens: prompt + output, ...details }
}
