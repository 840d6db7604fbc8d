/** How a grounded answer is written in a client's dialect, under the assistant's name. */
import type { Citation } from '../core/citation.ts'
import type { Outcome } from '../core/relay.ts'
import type { AnswerStream, FinishedAnswer } from './answer-stream.ts'

export interface DialectFacts {
  /** As the client wrote it. */
  readonly model: string
  /** Of the answer, for dialects that name one. */
  readonly id: string
  /** Epoch ms. */
  readonly wallMs: () => number
  /** Of the retrieval, for dialects that report a duration. */
  readonly startedAtMs: number
  readonly nowMs: () => number
  readonly wantsUsage: boolean
}

/** A whole answer as its body is made of. */
export interface WholeParts {
  readonly text: string
  readonly thinking: string
  readonly finished: FinishedAnswer
}

/** Frames as text; '' where the dialect has none for it. */
export interface DialectWriter {
  readonly streamType: string
  readonly wholeType: string
  /** Whether sources stand as a list at the end of the text, for readers that know nothing of citations. */
  readonly listsSources: boolean
  begin(stream: Pick<AnswerStream, 'sources' | 'kept'>): string
  text(text: string): string
  thinking(text: string): string
  citation(citation: Citation): string
  /** Ends a stream that went well. */
  end(finished: FinishedAnswer): string
  whole(parts: WholeParts): string
}

/** Tokens as reported, 0 where nobody counted. */
export function tokensOf({ usage }: Outcome): { readonly prompt: number; readonly output: number } {
  return { prompt: usage?.promptTokens ?? 0, output: usage?.outputTokens ?? 0 }
}
