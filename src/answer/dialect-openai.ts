/**
 * Chunks of `/v1/chat/completions` and `/v1/completions`. Citations are `annotations` of kind `url_citation`, the place chat has for them, with ours
 * whole beside it; a completion, which knows no such place, carries the same beside its text.
 */
import type { Citation } from '../core/citation.ts'
import type { Outcome } from '../core/relay.ts'
import type { FinishedAnswer } from './answer-stream.ts'
import { type DialectFacts, type DialectWriter, tokensOf, type WholeParts } from './dialect.ts'

export class OpenAiDialect implements DialectWriter {
  readonly streamType = 'text/event-stream'
  readonly wholeType = 'application/json'
  readonly listsSources = true
  readonly #facts: DialectFacts
  readonly #operation: 'chat' | 'generate'
  readonly #created: number

  constructor(facts: DialectFacts, operation: 'chat' | 'generate') {
    this.#facts = facts
    this.#operation = operation
    this.#created = Math.floor(facts.wallMs() / 1_000)
  }

  begin(): string {
    return this.#operation === 'chat' ? this.#said({ role: 'assistant', content: '' }) : ''
  }

  text(text: string): string {
    return this.#said(this.#operation === 'chat' ? { content: text } : { text })
  }

  /** A completion has no place for it. */
  thinking(text: string): string {
    return this.#operation === 'chat' ? this.#said({ reasoning: text }) : ''
  }

  citation(citation: Citation): string {
    const annotations = [annotationOf(citation)]
    return this.#said(this.#operation === 'chat' ? { annotations } : { text: '', annotations })
  }

  end({ doneReason, outcome }: FinishedAnswer): string {
    const usage = this.#facts.wantsUsage ? this.#frame({ choices: [], usage: usageOf(outcome) }) : ''
    return `${this.#said(this.#operation === 'chat' ? {} : { text: '' }, finishOf(doneReason))}${usage}data: [DONE]\n\n`
  }

  whole({ text, thinking, finished: { summary, doneReason, outcome } }: WholeParts): string {
    const reasoning = thinking === '' ? {} : { reasoning: thinking }
    const annotations = summary.citations.map(annotationOf)
    const isChat = this.#operation === 'chat'
    const said = isChat ? { message: { role: 'assistant', content: text, ...reasoning, annotations } } : { text, annotations }
    const choices = [{ index: 0, ...said, finish_reason: finishOf(doneReason) }]
    return `${JSON.stringify({ ...this.#head(isChat ? 'chat.completion' : 'text_completion'), choices, usage: usageOf(outcome) })}\n`
  }

  #head(object: string): object {
    const id = `${this.#operation === 'chat' ? 'chatcmpl' : 'cmpl'}-${this.#facts.id}`
    return { id, object, created: this.#created, model: this.#facts.model, system_fingerprint: 'fp_ollama' }
  }

  #said(part: object, finishReason: string | null = null): string {
    const choice = this.#operation === 'chat' ? { index: 0, delta: part } : { index: 0, ...part }
    return this.#frame({ choices: [{ ...choice, finish_reason: finishReason }] })
  }

  #frame(rest: object): string {
    const object = this.#operation === 'chat' ? 'chat.completion.chunk' : 'text_completion'
    return `data: ${JSON.stringify({ ...this.#head(object), ...rest })}\n\n`
  }
}

function annotationOf(citation: Citation): object {
  return { type: 'url_citation', url_citation: addressOf(citation), corral: citation }
}

/** Where a citation leads, by OpenAI's names; a document without an address has a name of Corral's own. */
export function addressOf({ answer, title, uri, document }: Citation): object {
  const url = uri ?? `urn:corral:document:${encodeURIComponent(document)}`
  return { start_index: answer.start, end_index: answer.end, title, url }
}

function finishOf(doneReason: string | null): string {
  return doneReason === 'length' ? 'length' : 'stop'
}

function usageOf(outcome: Outcome): object {
  const { prompt, output } = tokensOf(outcome)
  return { prompt_tokens: prompt, completion_tokens: output, total_tokens: prompt + output }
}
