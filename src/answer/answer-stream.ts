/**
 * A grounded answer under way: what was read, then events as they come, then the whole with its outcome. Three makers give the same
 * type: a model's stream (here), a kept answer, and the sentence that the documents hold none (`ready-answer.ts`).
 */
import type { Citation, GroundedSummary, Source } from '../core/citation.ts'
import { CorralError } from '../core/errors.ts'
import type { Answer, Outcome, Provenance, StreamAnswer } from '../core/relay.ts'
import { decodeErrorMessage } from '../wire/render-error.ts'
import { readChatFrames } from './chat-frames.ts'
import { type CitedPart, CitedStream, hasAddress } from './cited-stream.ts'
import { VisibleText } from './invisible.ts'
import type { Passage } from './passage.ts'
import type { PromptSecrets } from './prompt-secrets.ts'
import { ShownText } from './shown-text.ts'

export type AnswerEvent =
  | { readonly kind: 'text'; readonly text: string }
  /** What a reasoning model thinks aloud: no claim of the answer, its citations are not checked. */
  | { readonly kind: 'thinking'; readonly text: string }
  | { readonly kind: 'citation'; readonly citation: Citation }

/** Takes one event. False: the reader has gone or does not keep up, and nothing further is made. */
export type AnswerSink = (event: AnswerEvent) => boolean

export interface FinishedAnswer {
  /** Of what came until it ended, also after a failure. */
  readonly summary: GroundedSummary
  /** `stop`, `length`, … as the model's node says; null: it did not get that far. */
  readonly doneReason: string | null
  readonly outcome: Outcome
}

export interface AnswerStream {
  readonly sources: readonly Source[]
  readonly provenance: Provenance
  /** Of the head of what the model's relay gave, those that hold for any body: where the caller stands with its limits. */
  readonly headers: Readonly<Record<string, string>>
  /** True: found in the answer tier, nothing was searched or generated. */
  readonly kept: boolean
  /** Hands out all events, once; resolves at the true end. Rejects for a bug alone: a failure is in the outcome. */
  run(sink: AnswerSink): Promise<FinishedAnswer>
  /** The reader leaves. */
  cancel(reason: unknown): void
}

export type SummaryFacts = Pick<GroundedSummary, 'query' | 'strength' | 'degraded'>

/** What an answer is made from, and what of its instructions it must not repeat; null: nothing. */
export interface Grounds {
  readonly passages: readonly Passage[]
  readonly secrets: PromptSecrets | null
}

/** The stream of a node's answer. Throws what an answer with an error status says. */
export function generatedAnswer(answer: Answer, grounds: Grounds, facts: SummaryFacts): AnswerStream {
  if (answer.status !== 200) {
    if (answer.kind === 'stream') answer.frames.cancel(new Error(`status ${answer.status}`))
    throw failureOf(answer)
  }
  return new GeneratedAnswer(answer, grounds, facts)
}

function failureOf(answer: Answer): CorralError {
  const message = answer.kind === 'whole' ? decodeErrorMessage(answer.body) : `status ${answer.status} with a stream`
  const node = answer.provenance.node === null ? {} : { node: answer.provenance.node }
  return new CorralError(answer.status < 500 ? 'invalid_request' : 'node_failed', message, { status: answer.status, ...node })
}

class GeneratedAnswer implements AnswerStream {
  readonly sources: readonly Source[]
  readonly provenance: Provenance
  readonly headers: Readonly<Record<string, string>>
  readonly kept = false
  readonly #answer: Answer
  readonly #cited: CitedStream
  readonly #thought: ThoughtText
  readonly #facts: SummaryFacts
  #doneReason: string | null = null
  #isOpen = true
  #onCancel: () => void = () => undefined

  constructor(answer: Answer, { passages, secrets }: Grounds, facts: SummaryFacts) {
    this.#answer = answer
    this.provenance = answer.provenance
    this.headers = limitHeadersOf(answer)
    this.sources = passages.map(({ source }) => source)
    this.#cited = new CitedStream(passages, secrets)
    this.#thought = new ThoughtText(passages, secrets)
    this.#facts = facts
  }

  async run(sink: AnswerSink): Promise<FinishedAnswer> {
    const answer = this.#answer
    if (answer.kind === 'stream') await this.#drain(answer, sink)
    else this.#take(answer.body, sink)
    this.#think(this.#thought.end(), sink)
    this.#hand(this.#cited.end(), sink)
    const outcome = await answer.outcome
    return { summary: this.#summary(), doneReason: this.#doneReason, outcome }
  }

  cancel(reason: unknown): void {
    this.#isOpen = false
    if (this.#answer.kind === 'stream') this.#answer.frames.cancel(reason)
    this.#onCancel()
  }

  #drain({ frames }: StreamAnswer, sink: AnswerSink): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onCancel = resolve
      if (!this.#isOpen) resolve()
      frames.attach({
        take: (chunk) => {
          try {
            this.#take(chunk, sink)
          } catch (bug) {
            // It must not reach the node's side of the queue.
            frames.cancel(bug)
            reject(bug instanceof Error ? bug : new Error(String(bug)))
          }
          return true
        },
        end: resolve,
      })
    })
  }

  #take(frames: Buffer, sink: AnswerSink): void {
    for (const { text, thinking, doneReason } of readChatFrames(frames)) {
      this.#think(this.#thought.push(thinking), sink)
      if (text !== '') {
        this.#think(this.#thought.end(), sink)
        this.#hand(this.#cited.push(text), sink)
      }
      this.#doneReason = doneReason ?? this.#doneReason
    }
  }

  #think(text: string, sink: AnswerSink): void {
    if (text !== '') this.#offer(sink, { kind: 'thinking', text })
  }

  #hand(parts: readonly CitedPart[], sink: AnswerSink): void {
    for (const part of parts) this.#offer(sink, part)
  }

  #offer(sink: AnswerSink, event: AnswerEvent): void {
    if (this.#isOpen && !sink(event)) this.cancel(new CorralError('client_too_slow', 'the client does not read its answer'))
  }

  #summary(): GroundedSummary {
    const { text, citations, gate } = this.#cited
    const withheld = gate.withheld + this.#thought.withheld
    return {
      ...this.#facts,
      text,
      sources: this.sources,
      citations,
      gate: { ...gate, withheld },
      unsupported: this.#cited.unsupported(),
      refused: false,
    }
  }
}

/** What a model thinks aloud, made safe as its answer is. */
class ThoughtText {
  readonly #visible = new VisibleText()
  readonly #shown: ShownText

  constructor(passages: readonly Passage[], secrets: PromptSecrets | null) {
    this.#shown = new ShownText((url) => hasAddress(passages, url), secrets)
  }

  get withheld(): number {
    return this.#shown.withheld
  }

  push(text: string): string {
    return text === '' ? '' : this.#shown.push(this.#visible.push(text))
  }

  /** What was held back. */
  end(): string {
    return this.#shown.push(this.#visible.end()) + this.#shown.flush()
  }
}

/** The others tell of a body that nobody sees. */
function limitHeadersOf({ headers }: Answer): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) if (typeof value === 'string' && /^(?:x-)?ratelimit/.test(name)) kept[name] = value
  return kept
}
