/**
 * The gate of citations on the documents of `PATH/retrieval/anthropic-docs`: a scripted model writes true and fabricated citations whose truth is
 * known, and what the gate emits is compared. Prints precision and recall by kind, and calibrates the threshold of "not in the documents"
 * with real vectors of MiniLM, or of a model of a real Ollama (`--ollama URL --embed-model NAME`).
 */
import { join } from 'node:path'

import { CitedStream } from '../src/answer/cited-stream.ts'
import { Passage } from '../src/answer/passage.ts'
import { probabilityOf, strengthFits } from '../src/answer/strength.ts'
import { dropReasons } from '../src/core/citation.ts'
import { setForMiniLm, sourceOf } from './harness/bench-vectors.ts'
import { type Calibration, calibrate, type CalibrationInput } from './harness/citation-calibration.ts'
import { type Kind, kinds, scriptAnswer, type Written } from './harness/citation-script.ts'
import { Corpus, readSet, type RetrievalSet } from './harness/citation-corpus.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { randomSequence } from '../src/sim/hash.ts'

/** Passages of a prompt. */
const passagesMax = 8
/** Answers per question, each with other inventions. */
const roundsFull = 10

interface Tally {
  written: number
  emitted: number
  /** Emitted, and the place holds the quote, and the claim is the passage's own. */
  right: number
}

interface Judged {
  readonly tallies: Readonly<Record<Kind, Tally>>
  readonly dropped: Record<string, number>
  /** Emitted citations whose document text at their offsets is not their quote, or does not hold what the model quoted. */
  pointless: number
}

function judge(set: RetrievalSet, corpus: Corpus, rounds: number): Judged {
  const none = (): Tally => ({ written: 0, emitted: 0, right: 0 })
  const tallies: Readonly<Record<Kind, Tally>> = {
    true: none(),
    'wrong passage': none(),
    'altered number': none(),
    'invented quote': none(),
    'out of range': none(),
  }
  const judged: Judged = { tallies, dropped: Object.fromEntries(dropReasons.map((reason) => [reason, 0])), pointless: 0 }
  const random = randomSequence(20_261_125)
  for (let round = 0; round < rounds; round += 1) {
    for (const query of set.queries) {
      const passages = corpus.search(query.text, passagesMax).map((hit, index) => new Passage(index + 1, hit))
      const written = scriptAnswer(passages, random)
      const stream = new CitedStream(passages, null)
      const parts = pieces(written.map(({ text }) => text).join(' '), random).flatMap((piece) => stream.push(piece))
      parts.push(...stream.end())
      account(judged, { written, stream, corpus })
    }
  }
  return judged
}

/** The text as frames would cut it: 1 to 12 characters. */
function pieces(text: string, random: () => number): string[] {
  const cut: string[] = []
  for (let at = 0; at < text.length;) {
    const size = 1 + Math.floor(random() * 12)
    cut.push(text.slice(at, at + size))
    at += size
  }
  return cut
}

function account(judged: Judged, { written, stream, corpus }: { written: readonly Written[]; stream: CitedStream; corpus: Corpus }): void {
  for (const [reason, count] of Object.entries(stream.gate.dropped)) judged.dropped[reason] = (judged.dropped[reason] ?? 0) + count
  const sentences = written.map((one) => ({ one, emitted: stream.citations.filter(({ answer }) => isOf(stream.text, answer, one)) }))
  for (const { one, emitted } of sentences) {
    const tally = judged.tallies[one.kind]
    tally.written += 1
    tally.emitted += emitted.length > 0 ? 1 : 0
    tally.right += emitted.some((citation) => citation.chunk === one.chunk) ? 1 : 0
  }
  for (const citation of stream.citations) {
    const text = corpus.textOf(citation.document).slice(citation.start, citation.end)
    const asked = written.filter((one) => isOf(stream.text, citation.answer, one))
    if (text !== citation.quote || !asked.some(({ quote }) => holds(text, quote))) judged.pointless += 1
  }
}

/** Whether the letters and digits of the quote, of one whole part of it where it has omissions, stand in the text; judged apart from the gate's own forms. */
function holds(text: string, quote: string): boolean {
  const bare = (part: string): string => part.replace(/[^\p{L}\p{N}]/gu, '').toLowerCase()
  return quote.split('…').some((part) => bare(part) !== '' && bare(text).includes(bare(part)))
}

/** Each sentence of the script opens with a word of its own. */
function isOf(text: string, answer: { start: number; end: number }, { id }: Written): boolean {
  return text.slice(answer.start, answer.end).includes(id)
}

async function calibrateWith(
  options: BenchOptions,
  input: Omit<CalibrationInput, 'embed'>,
): Promise<Calibration & { readonly embedder: string }> {
  const source = sourceOf(options)
  try {
    const { model: embedder } = await source.identity()
    return { embedder, ...(await calibrate({ ...input, embed: source.embed })) }
  } finally {
    await source.close()
  }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const { dataPath } = options
  if (dataPath === undefined) throw new Error('citations needs --data PATH: the folder that holds retrieval/')
  const folder = join(dataPath, 'retrieval')
  const set = await readSet(join(folder, 'anthropic-docs'))
  const corpus = new Corpus(set)
  const { tallies, dropped, pointless } = judge(set, corpus, options.isQuick ? 1 : roundsFull)
  const total = (pick: (tally: Tally) => number, chosen: readonly Kind[] = kinds): number =>
    chosen.reduce((sum, kind) => sum + pick(tallies[kind]), 0)
  const fabricated = kinds.filter((kind) => kind !== 'true' && kind !== 'wrong passage')
  const written = total((tally) => tally.written)
  const emitted = total((tally) => tally.emitted)
  const precision = total((tally) => tally.right) / emitted
  const recall = tallies.true.right / tallies.true.written
  const caught = 1 - total((tally) => tally.emitted, fabricated) / total((tally) => tally.written, fabricated)
  const corrected = tallies['wrong passage'].right / tallies['wrong passage'].written
  for (const kind of kinds)
    options.log(`${kind}: ${tallies[kind].written} written, ${tallies[kind].emitted} emitted, ${tallies[kind].right} right`)
  options.log(`dropped: ${JSON.stringify(dropped)}`)
  const others = await Promise.all(['xquad-en', 'cacm', 'cranfield'].map((name) => readSet(join(folder, name))))
  const calibration = await calibrateWith(options, { set, corpus, others, log: options.log })
  const bars = [
    atLeast('share of fabricated citations in the script', 1 - tallies.true.written / written, 0.3),
    atMost('emitted citations whose place does not hold their quote', pointless, 0),
    atLeast('precision of the gate', rounded(precision), 0.99),
    atLeast('recall of the gate on true citations', rounded(recall), 0.98),
    atLeast('fabrications caught (altered number, invented, out of range)', rounded(caught), 0.98),
    atLeast('wrong passages corrected', rounded(corrected), 0.95),
    ...setForMiniLm(
      [atLeast('"not in the documents": balanced accuracy by both legs, held-out half', calibration.both.errors.accuracy, 0.93)],
      options,
    ),
    atLeast('"not in the documents": balanced accuracy by keywords alone', calibration.keyword.errors.accuracy, 0.85),
  ]
  const shipped = { fits: strengthFits, example: rounded(probabilityOf({ coverage: 0.8, cosine: 0.6, agreement: 0.6 })) }
  return benchResult('citations', options, { bars, data: { tallies, dropped, precision, recall, caught, corrected, calibration, shipped } })
}
