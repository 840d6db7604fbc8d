/**
 * Whether what was found can carry an answer: a logistic model over three figures of the retrieval, calibrated on questions of a set against
 * questions that its documents cannot answer (`bench citations` prints the fit and its error; the constants below are its output).
 *
 * Figures: how many of the question's words stand in the best passage of the first, the best cosine, and how far the two legs agree. A missing leg
 * has constants of its own.
 */
import type { RetrievalStrength } from '../core/citation.ts'
import type { SearchAnswer, SearchHit } from '../core/corpus.ts'
import { contentWords, shareOf } from './words.ts'

export interface StrengthFigures {
  /** Greatest share of the question's content words that stand in one of the first passages, 0–1. */
  readonly coverage: number
  /** Best cosine, −1–1; null without a vector leg. */
  readonly cosine: number | null
  /** Share of the first hits that both legs found, 0–1; null without two legs. */
  readonly agreement: number | null
}

interface Fit {
  readonly bias: number
  readonly coverage: number
  readonly cosine: number
  readonly agreement: number
}

/** Output of `bench citations`, anthropic-docs against XQuAD, CACM and Cranfield. */
export const strengthFits = {
  both: { bias: -7.15, coverage: 5.31, cosine: 8.05, agreement: 1.89 },
  keyword: { bias: -5.39, coverage: 10.53, cosine: 0, agreement: 0 },
  vector: { bias: -5.48, coverage: 0, cosine: 12.48, agreement: 0 },
} as const satisfies Record<string, Fit>

/** Passages whose words are looked at, and hits whose legs are compared. */
const passagesMax = 3
const agreementHits = 5

/** The three figures of one retrieval. */
export function strengthFigures(query: string, results: readonly SearchHit[]): StrengthFigures {
  const words = contentWords(query)
  const coverages = words.size === 0 ? [] : results.slice(0, passagesMax).map((hit) => shareOf(words, contentWords(textOf(hit))))
  const cosines = results.flatMap(({ scores }) => scores.vector ?? [])
  const hasKeyword = results.some(({ scores }) => scores.keyword !== null)
  const first = results.slice(0, agreementHits)
  const both = first.filter(({ scores }) => scores.keyword !== null && scores.vector !== null).length
  return {
    coverage: Math.max(0, ...coverages),
    cosine: cosines.length === 0 ? null : Math.max(...cosines),
    agreement: cosines.length === 0 || !hasKeyword ? null : both / Math.max(1, first.length),
  }
}

function textOf({ document, chunk }: SearchHit): string {
  return [document.title, ...chunk.headings, chunk.text].join('\n')
}

/** Share of questions with such figures that the documents answer. */
export function probabilityOf({ coverage, cosine, agreement }: StrengthFigures, mode: 'any' | 'vector' = 'any'): number {
  const fit: Fit =
    cosine === null ? strengthFits.keyword : agreement === null && mode === 'vector' ? strengthFits.vector : strengthFits.both
  const sum = fit.bias + fit.coverage * coverage + fit.cosine * (cosine ?? 0) + fit.agreement * (agreement ?? 0)
  return 1 / (1 + Math.exp(-sum))
}

/**
 * Judges a search. Nothing found carries nothing. What has no vector yet is judged by its words on its own as well: the vectors of other
 * documents say nothing against it.
 */
export function strengthOf(query: string, { results }: Pick<SearchAnswer, 'results'>, { strengthMin }: StrengthOptions): RetrievalStrength {
  const byWords = results.filter(({ lacksVector }) => lacksVector === true)
  const probability = Math.max(judged(query, results), judged(query, byWords))
  return { probability, sufficient: probability >= strengthMin }
}

function judged(query: string, results: readonly SearchHit[]): number {
  if (results.length === 0) return 0
  const figures = strengthFigures(query, results)
  return probabilityOf(figures, results.every(({ scores }) => scores.keyword === null) ? 'vector' : 'any')
}

export interface StrengthOptions {
  /** 0–1. */
  readonly strengthMin: number
}
