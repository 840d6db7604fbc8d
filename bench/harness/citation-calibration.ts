/**
 * Fits the threshold of "not in the documents": questions that a set's documents answer against questions of other sets, by logistic regression on
 * one half, judged on the other. Prints constants as `answer/strength.ts` holds them.
 */
import { join } from 'node:path'

import { probabilityOf, strengthFigures, type StrengthFigures } from '../../src/answer/strength.ts'
import { createOnnxEmbedder } from '../../src/sim/onnx-embedder.ts'
import type { Corpus, RetrievalSet } from './citation-corpus.ts'
import { rounded } from './result.ts'

/** Questions of each other set. */
const othersMax = 60
const textChars = 1_200
const hitsMax = 8

interface Example {
  readonly answerable: boolean
  readonly figures: StrengthFigures
}

type Vector = readonly [number, number, number, number]

export interface Calibration {
  readonly questions: number
  readonly fits: Readonly<Record<'both' | 'keyword' | 'vector', Readonly<Record<string, number>>>>
  /** Balanced accuracy at 0.5 of the shipped constants on the held-out half. */
  readonly accuracy: number
  readonly accuracyByMode: Readonly<Record<string, number>>
  readonly refusedAnswerable: number
  readonly answeredUnanswerable: number
}

export interface CalibrationInput {
  readonly set: RetrievalSet
  readonly corpus: Corpus
  readonly others: readonly RetrievalSet[]
  /** Folder of the ONNX model. */
  readonly models: string
  readonly log: (line: string) => void
}

export async function calibrate({ set, corpus, others, models, log }: CalibrationInput): Promise<Calibration> {
  const embedder = await createOnnxEmbedder({
    modelPath: join(models, 'all-minilm-l6-v2.int8.onnx'),
    vocabularyPath: join(models, 'all-minilm-l6-v2.vocab.txt'),
  })
  const embed = async (texts: readonly string[]): Promise<Float32Array[]> => {
    const vectors: Float32Array[] = []
    for (let at = 0; at < texts.length; at += 16) vectors.push(...(await embedder(texts.slice(at, at + 16), 384)))
    return vectors
  }
  const questions = [
    ...set.queries.map(({ text }) => ({ text, answerable: true })),
    ...others.flatMap(({ queries }) => spread(queries, othersMax).map(({ text }) => ({ text, answerable: false }))),
  ]
  const documents = await embed(set.documents.map(({ title, text }) => `${title}\n${text}`.slice(0, textChars)))
  const asked = await embed(questions.map(({ text }) => text))
  const byId = new Map(set.documents.map(({ id }, index) => [id, documents[index] ?? new Float32Array(384)]))
  const examples = questions.map(({ text, answerable }, index): Example => {
    const vector = asked[index] ?? new Float32Array(384)
    const hits = corpus.search(text, hitsMax, (id) => dot(byId.get(id) ?? new Float32Array(384), vector))
    return { answerable, figures: strengthFigures(text, hits, (word) => corpus.idf(word)) }
  })
  const [learn, judged] = [examples.filter((_, index) => index % 2 === 0), examples.filter((_, index) => index % 2 === 1)]
  const fits = { both: fit(learn, both), keyword: fit(learn, keywordOnly), vector: fit(learn, vectorOnly) }
  for (const [mode, constants] of Object.entries(fits)) log(`fit of ${mode}: ${JSON.stringify(constants)}`)
  const wrong = (answerable: boolean): number => share(judged, answerable, (figures) => probabilityOf(figures) >= 0.5 !== answerable)
  const accuracyByMode = {
    both: balanced(judged, (figures) => probabilityOf(figures)),
    keyword: balanced(judged, (figures) => probabilityOf({ ...figures, cosine: null, agreement: null })),
    vector: balanced(judged, (figures) => probabilityOf({ ...figures, agreement: null }, 'vector')),
  }
  return {
    questions: questions.length,
    fits,
    accuracy: accuracyByMode.both,
    accuracyByMode,
    refusedAnswerable: rounded(wrong(true)),
    answeredUnanswerable: rounded(wrong(false)),
  }
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

const both = ({ coverage, cosine, agreement }: StrengthFigures): Vector => [1, coverage, cosine ?? 0, agreement ?? 0]
const keywordOnly = ({ coverage }: StrengthFigures): Vector => [1, coverage, 0, 0]
const vectorOnly = ({ cosine }: StrengthFigures): Vector => [1, 0, cosine ?? 0, 0]

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

function balanced(examples: readonly Example[], probability: (figures: StrengthFigures) => number): number {
  const right =
    share(examples, true, (figures) => probability(figures) >= 0.5) + share(examples, false, (figures) => probability(figures) < 0.5)
  return right / 2
}
