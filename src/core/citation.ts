/**
 * The vocabulary of a grounded answer: what was read, what is cited, what the gate made of each claim. Types and limits only.
 *
 * Offsets are UTF-16 code units, `start` inclusive, `end` exclusive: in the *answer* they count the text as the client received it, in a
 * *source* they count the document's own text, so that `document.text.slice(source.start, source.end)` is what a citation shows.
 */

/** A range of the answer's visible text. */
export interface AnswerSpan {
  readonly start: number
  readonly end: number
}

/** A passage as it was given to the model, by the number the answer's `[n]` markers use. */
export interface Source {
  /** From 1. */
  readonly number: number
  readonly collection: string
  readonly chunk: string
  readonly document: string
  readonly title: string
  readonly uri: string | null
  readonly page: number | null
  readonly headings: readonly string[]
  /** Of the passage in its document. */
  readonly start: number
  readonly end: number
  /** Fused score of retrieval, 0–1. */
  readonly score: number
  /** How much it looks as if it commanded the model, 0–1, by rules alone. */
  readonly injection: number
}

/**
 * How a citation got its place: `quoted` the model's own words stand there · `corrected` they stand in another passage than it named ·
 * `derived` it named a passage without a usable quote, and this is the sentence of that passage that says what the claim says.
 */
export const citationOrigins = ['quoted', 'corrected', 'derived'] as const

export type CitationOrigin = (typeof citationOrigins)[number]

export interface Citation {
  /** The number that stands in the visible text. */
  readonly number: number
  /** The claim it belongs to. */
  readonly answer: AnswerSpan
  /** The `[n]` itself. */
  readonly marker: AnswerSpan
  readonly collection: string
  readonly chunk: string
  readonly document: string
  readonly title: string
  readonly uri: string | null
  readonly page: number | null
  /** Where the quote stands in the document. */
  readonly start: number
  readonly end: number
  /** The document's own characters at that place. */
  readonly quote: string
  readonly origin: CitationOrigin
  /** Share of the claim's content words that stand in the passage, 0–1: low across languages, a hint otherwise. */
  readonly overlap: number
}

/** Why a citation was taken out of the answer, a closed set (metric label). */
export const dropReasons = ['altered_number', 'invented', 'out_of_range', 'unsupported', 'malformed'] as const

export type DropReason = (typeof dropReasons)[number]

/** A sentence that no emitted citation stands behind. */
export interface UnsupportedSpan extends AnswerSpan {
  /** Best share of its content words in any one passage, 0–1. */
  readonly overlap: number
  /** Numbers of it that stand in no passage. */
  readonly unknownNumbers: readonly string[]
}

/** Whether what was found can carry an answer at all. */
export interface RetrievalStrength {
  /** 0–1, calibrated: share of questions with such figures that the documents answer. */
  readonly probability: number
  readonly sufficient: boolean
}

/** What the gate counted in one answer. */
export interface GateCounts {
  /** Markers that the model wrote. */
  readonly written: number
  readonly emitted: number
  readonly corrected: number
  readonly dropped: Readonly<Record<DropReason, number>>
  /** Places at which words of the instructions were withheld. */
  readonly withheld: number
}

/** Everything about a finished answer but its tokens. */
export interface GroundedSummary {
  readonly text: string
  readonly sources: readonly Source[]
  readonly citations: readonly Citation[]
  readonly unsupported: readonly UnsupportedSpan[]
  readonly gate: GateCounts
  readonly strength: RetrievalStrength
  /** The query that was searched; differs from the question when the conversation was needed to understand it. */
  readonly query: string
  /** True: no model was asked, because the documents do not hold the answer. */
  readonly refused: boolean
  /** Why a leg of the search was missing; null: none was. */
  readonly degraded: string | null
}
