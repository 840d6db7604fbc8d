/**
 * Whether what was found can carry an answer: a logistic model over three figures of the retrieval, calibrated on questions of a set against
 * questions that its documents cannot answer (`bench citations` prints the fit and its error; the constants below are its output).
 *
 * Figures: how many of the question's words stand in the best passage of the first, the best cosine, and how far the two legs agree. A missing leg
 * has constants of its own.
 *
 * Cosines of the same meaning differ from embedder to embedder (what has nothing to do with each other is near 0 for one and above 0.5 for another),
 * so that they count for the embedders alone whose constants were measured; with any other only words decide.
 */
import type { RetrievalStrength } from '../core/citation.ts'
import type { SearchAnswer, SearchHit } from '../core/corpus.ts'
import { canonicalModelName } from '../wire/model-name.ts'
import { certainLanguageOf } from './language.ts'
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

/** The embedders of `strengthFits`, as Ollama names them: all-MiniLM-L6-v2. */
const measuredEmbedders: ReadonlySet<string> = new Set([
  'all-minilm:latest',
  'all-minilm:22m',
  'all-minilm:l6-v2',
  'all-minilm:22m-l6-v2-fp16',
])

/** Whether constants were measured for all of them; null is none, which gives no cosines. */
export function areMeasured(embedders: readonly (string | null)[]): boolean {
  return embedders.every((embedder) => embedder === null || measuredEmbedders.has(canonicalModelName(embedder)))
}

/** Where neither words nor cosines tell. */
const unknownProbability = 0.5
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
 * documents say nothing against it. Without `countsCosines`, a question in another language than all that was found is not judged: its
 * words cannot stand there.
 */
export function strengthOf(
  query: string,
  { results }: Pick<SearchAnswer, 'results'>,
  { strengthMin, countsCosines }: StrengthOptions,
): RetrievalStrength {
  if (!countsCosines) {
    const probability = Math.max(judgedByWords(query, results), isForeign(query, results) ? unknownProbability : 0)
    return { probability, sufficient: probability >= strengthMin }
  }
  const byWords = results.filter(({ lacksVector }) => lacksVector === true)
  const probability = Math.max(judged(query, results), judged(query, byWords))
  return { probability, sufficient: probability >= strengthMin }
}

function judged(query: string, results: readonly SearchHit[]): number {
  if (results.length === 0) return 0
  const figures = strengthFigures(query, results)
  return probabilityOf(figures, results.every(({ scores }) => scores.keyword === null) ? 'vector' : 'any')
}

function judgedByWords(query: string, results: readonly SearchHit[]): number {
  if (results.length === 0) return 0
  return probabilityOf({ ...strengthFigures(query, results), cosine: null, agreement: null })
}

function isForeign(query: string, results: readonly SearchHit[]): boolean {
  const asked = certainLanguageOf(query)
  const found = results.slice(0, passagesMax).map((hit) => certainLanguageOf(textOf(hit)))
  return asked !== null && found.length > 0 && found.every((language) => language !== null && language !== asked)
}

export interface StrengthOptions {
  /** Whether the constants hold for the cosines (`areMeasured`). */
  readonly countsCosines: boolean
  /** 0–1. */
  readonly strengthMin: number
}
