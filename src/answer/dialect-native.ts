/** Ollama's own lines, of `/api/chat` and `/api/generate`. The last line carries `citations`, `sources` and `grounding`, which clients that do not know them pass over. */
import type { Outcome } from '../core/relay.ts'
import type { FinishedAnswer } from './answer-stream.ts'
import type { DialectFacts, DialectWriter, WholeParts } from './dialect.ts'

const nsPerMs = 1e6

export class NativeDialect implements DialectWriter {
  readonly streamType = 'application/x-ndjson'
  readonly wholeType = 'application/json; charset=utf-8'
  readonly listsSources = true
  readonly #facts: DialectFacts
  readonly #operation: 'chat' | 'generate'

  constructor(facts: DialectFacts, operation: 'chat' | 'generate') {
    this.#facts = facts
    this.#operation = operation
  }

  begin(): string {
    return ''
  }

  text(text: string): string {
    return this.#line(text, '', { done: false })
  }

  thinking(text: string): string {
    return this.#line('', text, { done: false })
  }

  citation(): string {
    return ''
  }

  end(finished: FinishedAnswer): string {
    return this.#line('', '', this.#last(finished))
  }

  whole({ text, thinking, finished }: WholeParts): string {
    return this.#line(text, thinking, this.#last(finished)).trimEnd()
  }

  #line(text: string, thinking: string, rest: object): string {
    const { model, wallMs } = this.#facts
    const thought = thinking === '' ? {} : { thinking }
    const said = this.#operation === 'chat' ? { message: { role: 'assistant', content: text, ...thought } } : { response: text, ...thought }
    return `${JSON.stringify({ model, created_at: new Date(wallMs()).toISOString(), ...said, ...rest })}\n`
  }

  /** Durations last, where readers of usage look for them. */
  #last({ summary, doneReason, outcome }: FinishedAnswer): object {
    const { citations, sources, unsupported, gate, strength, refused } = summary
    const grounding = { unsupported, gate, strength, refused }
    return { citations, sources, grounding, done: true, done_reason: doneReason ?? 'stop', ...this.#usage(outcome) }
  }

  #usage({ usage }: Outcome): object {
    const ns = (ms: number | null | undefined): number => Math.round((ms ?? 0) * nsPerMs)
    return {
      total_duration: ns(this.#facts.nowMs() - this.#facts.startedAtMs),
      load_duration: ns(usage?.loadMs),
      prompt_eval_count: usage?.promptTokens ?? 0,
      prompt_eval_duration: ns(usage?.promptMs),
      eval_count: usage?.outputTokens ?? 0,
      eval_duration: ns(usage?.outputMs),
    }
  }
}
