/** Answers that no model is asked for: one that was kept, and the one that says that the documents hold none. */
import type { GroundedSummary, Source } from '../core/citation.ts'
import type { Outcome, Provenance } from '../core/relay.ts'
import type { AnswerSink, AnswerStream, FinishedAnswer, SummaryFacts } from './answer-stream.ts'
import { emptyGate } from './cited-stream.ts'
import { phrasesFor } from './language.ts'

const nothingSpent: Outcome = { kind: 'ok', usage: null, frames: 0, bytes: 0, error: null, cached: true }

class ReadyAnswer implements AnswerStream {
  readonly sources: readonly Source[]
  readonly provenance: Provenance
  readonly headers = {}
  readonly kept: boolean
  readonly #summary: GroundedSummary

  constructor(summary: GroundedSummary, { reason, kept, nowMs }: { reason: string; kept: boolean; nowMs: number }) {
    this.#summary = summary
    this.sources = summary.sources
    this.kept = kept
    this.provenance = { node: null, reason, attempts: 0, dispatchedAtMs: nowMs, ...(kept ? { cache: 'hit' } : {}) }
  }

  run(sink: AnswerSink): Promise<FinishedAnswer> {
    const summary = this.#summary
    let isWanted = summary.text === '' || sink({ kind: 'text', text: summary.text })
    for (const citation of summary.citations) isWanted = isWanted && sink({ kind: 'citation', citation })
    return Promise.resolve({ summary, doneReason: 'stop', outcome: nothingSpent })
  }

  cancel(): void {
    // Everything is handed out at once: there is nothing to stop.
  }
}

/** An answer of the answer tier. */
export function keptAnswer(summary: GroundedSummary, nowMs: number): AnswerStream {
  return new ReadyAnswer(summary, { reason: 'kept-answer', kept: true, nowMs })
}

/** Says in the language of the question that the documents do not answer it. */
export function refusal(question: string, facts: SummaryFacts, nowMs: number): AnswerStream {
  const text = phrasesFor(question).notFound
  const summary = { ...facts, text, sources: [], citations: [], unsupported: [], gate: emptyGate, refused: true }
  return new ReadyAnswer(summary, { reason: 'not-in-documents', kept: false, nowMs })
}
