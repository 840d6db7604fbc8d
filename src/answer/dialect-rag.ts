/**
 * Corral's own events, of `/rag/chat`: `sources` first, then `text`, `thinking` and `citation` as they come, and `done` with the whole of what is known
 * of the answer. A whole answer is the body of `done` with its text.
 */
import type { Citation } from '../core/citation.ts'
import type { AnswerStream, FinishedAnswer } from './answer-stream.ts'
import { type DialectFacts, type DialectWriter, tokensOf, type WholeParts } from './dialect.ts'

export class RagDialect implements DialectWriter {
  readonly streamType = 'text/event-stream'
  readonly wholeType = 'application/json; charset=utf-8'
  readonly listsSources = false
  readonly #facts: DialectFacts
  #kept = false

  constructor(facts: DialectFacts) {
    this.#facts = facts
  }

  begin({ sources, kept }: Pick<AnswerStream, 'sources' | 'kept'>): string {
    this.#kept = kept
    return event('sources', { id: this.#facts.id, model: this.#facts.model, sources })
  }

  text(text: string): string {
    return event('text', { text })
  }

  thinking(text: string): string {
    return event('thinking', { text })
  }

  citation(citation: Citation): string {
    return event('citation', citation)
  }

  end(finished: FinishedAnswer): string {
    return event('done', this.#body(finished))
  }

  whole({ text, thinking, finished }: WholeParts): string {
    return JSON.stringify({ ...this.#body(finished), text, ...(thinking === '' ? {} : { thinking }) })
  }

  #body({ summary, doneReason, outcome }: FinishedAnswer): object {
    const { id, model, nowMs, startedAtMs } = this.#facts
    const { text: _, degraded, ...grounding } = summary
    const { prompt, output } = tokensOf(outcome)
    return {
      id,
      model,
      ...grounding,
      degraded: degraded !== null,
      degradedReason: degraded,
      doneReason: doneReason ?? 'stop',
      cached: this.#kept || (outcome.cached === true && !summary.refused),
      usage: { promptTokens: prompt, outputTokens: output },
      totalMs: Math.round(nowMs() - startedAtMs),
    }
  }
}

function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}
