/**
 * Fits the threshold of "not in the documents": questions that a set's documents answer against questions of other sets, by logistic regression on
 * one half, judged on the other. Prints constants as `answer/strength.ts` holds them.
 */
import { probabilityOf, strengthFigures, type StrengthFigures } from '../../src/answer/strength.ts'
import type { Corpus, RetrievalSet } from './citation-corpus.ts'
import type { EmbedTexts } from './embedding-source.ts'
import { rounded } from './result.ts'

/** Questions of each other set. */
const othersMax = 60
const textChars = 1_200
const hitsMax = 8
const none = new Float32Array(0)

interface Example {
  readonly answerable: boolean
  readonly figures: StrengthFigures
}

type Vector = readonly [number, number, number, number]

type Mode = 'both' | 'keyword' | 'vector'

interface Errors {
  /** Balanced, at 0.5. */
  readonly accuracy: number
  readonly answerableRefused: number
  readonly unanswerableAsked: number
}

interface Fitted {
  readonly constants: Readonly<Record<string, number>>
  /** Of the shipped constants, on the half that was not learned from. */
  readonly errors: Errors
}

export type Calibration = { readonly questions: number } & Readonly<Record<Mode, Fitted>>

export interface CalibrationInput {
  readonly set: RetrievalSet
  readonly corpus: Corpus
  readonly others: readonly RetrievalSet[]
  readonly embed: EmbedTexts
  readonly log: (line: string) => void
}

export async function calibrate({ set, corpus, others, embed, log }: CalibrationInput): Promise<Calibration> {
  const questions = [
    ...set.queries.map(({ text }) => ({ text, answerable: true })),
    ...others.flatMap(({ queries }) => spread(queries, othersMax).map(({ text }) => ({ text, answerable: false }))),
  ]
  const documents = await embed(
    set.documents.map(({ title, text }) => `${title}\n${text}`.slice(0, textChars)),
    'document',
  )
  const asked = await embed(
    questions.map(({ text }) => text),
    'query',
  )
  const byId = new Map(set.documents.map(({ id }, index) => [id, documents[index] ?? none]))
  const examplesBy = (mode: Mode): Example[] =>
    questions.map(({ text, answerable }, index) => {
      const vector = asked[index] ?? none
      const cosine = (id: string): number => dot(byId.get(id) ?? none, vector)
      const hits = corpus.search(text, hitsMax, { cosine: mode === 'keyword' ? null : cosine, words: mode !== 'vector' })
      return { answerable, figures: strengthFigures(text, hits) }
    })
  const judged = (mode: Mode): Fitted => {
    const examples = examplesBy(mode)
    const constants = fit(
      examples.filter((_, index) => index % 2 === 0),
      vectors[mode],
    )
    const errors = errorsOf(
      examples.filter((_, index) => index % 2 === 1),
      mode,
    )
    log(`${mode}: fit ${JSON.stringify(constants)}, shipped constants held out ${JSON.stringify(errors)}`)
    return { constants, errors }
  }
  return { questions: questions.length, both: judged('both'), keyword: judged('keyword'), vector: judged('vector') }
}

function spread<T>(items: readonly T[], count: number): T[] {
  const step = Math.max(1, items.length / count)
  return Array.from({ length: Math.min(count, items.length) }, (_, index) => items[Math.floor(index * step)]).filter(
    (item) => item !== undefined,
  )
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0)
}

const vectors: Readonly<Record<Mode, (figures: StrengthFigures) => Vector>> = {
  both: ({ coverage, cosine, agreement }) => [1, coverage, cosine ?? 0, agreement ?? 0],
  keyword: ({ coverage }) => [1, coverage, 0, 0],
  vector: ({ cosine }) => [1, 0, cosine ?? 0, 0],
}

/** Gradient descent with a small ridge; both classes weigh the same. */
function fit(examples: readonly Example[], toVector: (figures: StrengthFigures) => Vector): Readonly<Record<string, number>> {
  const weights = [0, 0, 0, 0]
  const positives = examples.filter(({ answerable }) => answerable).length
  for (let step = 0; step < 20_000; step += 1) {
    const gradient = weights.map((weight, index) => (index === 0 ? 0 : 0.001 * weight))
    for (const { answerable, figures } of examples) {
      const vector = toVector(figures)
      const sum = vector.reduce((total, value, index) => total + value * (weights[index] ?? 0), 0)
      const error = (1 / (1 + Math.exp(-sum)) - (answerable ? 1 : 0)) / (2 * (answerable ? positives : examples.length - positives))
      for (const [index, value] of vector.entries()) gradient[index] = (gradient[index] ?? 0) + error * value
    }
    for (const [index, slope] of gradient.entries()) weights[index] = (weights[index] ?? 0) - 2 * slope
  }
  const [bias = 0, coverage = 0, cosine = 0, agreement = 0] = weights.map((weight) => Number(weight.toFixed(2)))
  return { bias, coverage, cosine, agreement }
}

function share(examples: readonly Example[], answerable: boolean, holds: (figures: StrengthFigures) => boolean): number {
  const chosen = examples.filter((example) => example.answerable === answerable)
  return chosen.filter(({ figures }) => holds(figures)).length / Math.max(1, chosen.length)
}

function errorsOf(examples: readonly Example[], mode: Mode): Errors {
  const isAsked = (figures: StrengthFigures): boolean => probabilityOf(figures, mode === 'vector' ? 'vector' : 'any') >= 0.5
  const answerableRefused = rounded(share(examples, true, (figures) => !isAsked(figures)))
  const unanswerableAsked = rounded(share(examples, false, isAsked))
  return { accuracy: rounded(1 - (answerableRefused + unanswerableAsked) / 2), answerableRefused, unanswerableAsked }
}
