/** Events of `/v1/messages`. Citations are `citations_delta` with a character location, as this dialect has them for documents. */
import type { Citation } from '../core/citation.ts'
import type { FinishedAnswer } from './answer-stream.ts'
import { type DialectFacts, type DialectWriter, tokensOf, type WholeParts } from './dialect.ts'

export class AnthropicDialect implements DialectWriter {
  readonly streamType = 'text/event-stream'
  readonly wholeType = 'application/json'
  readonly listsSources = true
  readonly #facts: DialectFacts

  constructor(facts: DialectFacts) {
    this.#facts = facts
  }

  begin(): string {
    const message = { ...this.#head(), content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 0, output_tokens: 0 } }
    const block = { index: 0, content_block: { type: 'text', text: '' } }
    return event('message_start', { message }) + event('content_block_start', block)
  }

  text(text: string): string {
    return this.#delta({ type: 'text_delta', text })
  }

  /** A thinking block would have to be signed. */
  thinking(): string {
    return ''
  }

  citation(citation: Citation): string {
    return this.#delta({ type: 'citations_delta', citation: locationOf(citation) })
  }

  end({ doneReason, outcome }: FinishedAnswer): string {
    const { prompt, output } = tokensOf(outcome)
    const delta = { stop_reason: stopOf(doneReason), stop_sequence: null }
    const usage = { input_tokens: prompt, output_tokens: output }
    return event('content_block_stop', { index: 0 }) + event('message_delta', { delta, usage }) + event('message_stop', {})
  }

  whole({ text, finished: { summary, doneReason, outcome } }: WholeParts): string {
    const { prompt, output } = tokensOf(outcome)
    const citations = summary.citations.map(locationOf)
    const content = [{ type: 'text', text, ...(citations.length === 0 ? {} : { citations }) }]
    const usage = { input_tokens: prompt, output_tokens: output }
    return `${JSON.stringify({ ...this.#head(), content, stop_reason: stopOf(doneReason), stop_sequence: null, usage })}\n`
  }

  #head(): object {
    return { id: `msg_${this.#facts.id}`, type: 'message', role: 'assistant', model: this.#facts.model }
  }

  #delta(delta: object): string {
    return event('content_block_delta', { index: 0, delta })
  }
}

function event(type: string, fields: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
}

function stopOf(doneReason: string | null): string {
  return doneReason === 'length' ? 'max_tokens' : 'end_turn'
}

/** Passages count as the documents, by their numbers. */
function locationOf({ number, title, quote, start, end, document, uri, page, chunk, answer }: Citation): object {
  const place = { document_index: number - 1, document_title: title, start_char_index: start, end_char_index: end }
  return { type: 'char_location', cited_text: quote, ...place, corral: { document, uri, page, chunk, answer } }
}
