/** Chunks of `/v1/chat/completions`. Citations are `annotations` of kind `url_citation`, the place this dialect has for them, with ours whole beside it. */
import type { Citation } from '../core/citation.ts'
import type { Outcome } from '../core/relay.ts'
import type { FinishedAnswer } from './answer-stream.ts'
import { type DialectFacts, type DialectWriter, tokensOf, type WholeParts } from './dialect.ts'

export class OpenAiDialect implements DialectWriter {
  readonly streamType = 'text/event-stream'
  readonly wholeType = 'application/json'
  readonly listsSources = true
  readonly #facts: DialectFacts
  readonly #created: number

  constructor(facts: DialectFacts) {
    this.#facts = facts
    this.#created = Math.floor(facts.wallMs() / 1_000)
  }

  begin(): string {
    return this.#chunk({ role: 'assistant', content: '' })
  }

  text(text: string): string {
    return this.#chunk({ content: text })
  }

  thinking(text: string): string {
    return this.#chunk({ reasoning: text })
  }

  citation(citation: Citation): string {
    return this.#chunk({ annotations: [annotationOf(citation)] })
  }

  end({ doneReason, outcome }: FinishedAnswer): string {
    const usage = this.#facts.wantsUsage ? this.#frame({ choices: [], usage: usageOf(outcome) }) : ''
    return `${this.#chunk({}, finishOf(doneReason))}${usage}data: [DONE]\n\n`
  }

  whole({ text, thinking, finished: { summary, doneReason, outcome } }: WholeParts): string {
    const reasoning = thinking === '' ? {} : { reasoning: thinking }
    const message = { role: 'assistant', content: text, ...reasoning, annotations: summary.citations.map(annotationOf) }
    const choices = [{ index: 0, message, finish_reason: finishOf(doneReason) }]
    return `${JSON.stringify({ ...this.#head('chat.completion'), choices, usage: usageOf(outcome) })}\n`
  }

  #head(object: string): object {
    return { id: `chatcmpl-${this.#facts.id}`, object, created: this.#created, model: this.#facts.model, system_fingerprint: 'fp_ollama' }
  }

  #chunk(delta: object, finishReason: string | null = null): string {
    return this.#frame({ choices: [{ index: 0, delta, finish_reason: finishReason }] })
  }

  #frame(rest: object): string {
    return `data: ${JSON.stringify({ ...this.#head('chat.completion.chunk'), ...rest })}\n\n`
  }
}

function annotationOf(citation: Citation): object {
  const { answer, title, uri, document } = citation
  const address = {
    start_index: answer.start,
    end_index: answer.end,
    title,
    url: uri ?? `urn:corral:document:${encodeURIComponent(document)}`,
  }
  return { type: 'url_citation', url_citation: address, corral: citation }
}

function finishOf(doneReason: string | null): string {
  return doneReason === 'length' ? 'length' : 'stop'
}

function usageOf(outcome: Outcome): object {
  const { prompt, output } = tokensOf(outcome)
  return { prompt_tokens: prompt, completion_tokens: output, total_tokens: prompt + output }
}
