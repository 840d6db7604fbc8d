/**
 * Chunk sizes by what a search gets back: the 132 questions with character spans of the set in `PATH/chunking`, real vectors of MiniLM, or of a
 * model of a real Ollama (`--ollama URL --embed-model NAME`).
 * For each setting the best chunks are taken until they fill the same room of context, and recall, precision and IoU of their
 * characters against the spans are printed. The default of the chunker must be within a little of the best of the grid.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import { z } from 'zod'

import type { Block, ChunkingSettings, ParsedDocument } from '../src/core/corpus.ts'
import { chunkDocument, chunkingDefaults } from '../src/ingest/chunk.ts'
import { TokenEstimates } from '../src/ingest/token-estimate.ts'
import { setForMiniLm, sourceOf } from './harness/bench-vectors.ts'
import type { EmbeddingSource, EmbedTexts } from './harness/embedding-source.ts'
import { atLeast, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'

/** Characters of context a search may fill: about 1,000 tokens. */
const roomChars = 4_000

const questionRow = z.object({ question: z.string(), references: z.string(), corpus_id: z.string() })
const referenceList = z.array(z.object({ start_index: z.number(), end_index: z.number() }))

interface Question {
  readonly text: string
  readonly corpus: string
  readonly spans: readonly { readonly start: number; readonly end: number }[]
  readonly vector: Float32Array
}

interface Score {
  readonly recall: number
  readonly precision: number
  readonly iou: number
}

/** Paragraphs as blocks: the two texts have no other structure that a Markdown parser would see. */
export function paragraphs(text: string): ParsedDocument {
  const blocks: Block[] = []
  for (const match of text.matchAll(/\S(?:[\s\S]*?\S)??(?=\n\s*\n|\s*$)/g)) {
    blocks.push({ kind: 'paragraph', start: match.index, end: match.index + match[0].length, page: null, headings: [], level: null })
  }
  return { title: null, text, blocks, contentType: 'text/plain', pages: null, warnings: [] }
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0)
}

/** Marks of the characters of the best chunks that fit in the room. */
function retrieved(length: number, ranked: readonly { start: number; end: number }[]): Uint8Array {
  const marks = new Uint8Array(length)
  let used = 0
  for (const { start, end } of ranked) {
    if (used + end - start > roomChars) break
    used += end - start
    marks.fill(1, start, end)
  }
  return marks
}

function scoreOf(marks: Uint8Array, spans: Question['spans']): Score {
  const wanted = new Uint8Array(marks.length)
  for (const { start, end } of spans) wanted.fill(1, start, end)
  let both = 0
  let found = 0
  let asked = 0
  for (const [at, mark] of marks.entries()) {
    const isWanted = wanted[at] ?? 0
    found += mark
    asked += isWanted
    both += mark & isWanted
  }
  return { recall: both / asked, precision: both / Math.max(1, found), iou: both / (found + asked - both) }
}

function mean(scores: readonly Score[]): Score {
  const of = (name: keyof Score): number => scores.reduce((sum, score) => sum + score[name], 0) / scores.length
  return { recall: of('recall'), precision: of('precision'), iou: of('iou') }
}

async function readQuestions(folder: string, embed: EmbedTexts): Promise<Question[]> {
  const rows = z.array(questionRow).parse(parse(await readFile(join(folder, 'questions_df.csv'), 'utf8'), { columns: true }))
  const vectors = await embed(
    rows.map((row) => row.question),
    'query',
  )
  return rows.map((row, index) => ({
    text: row.question,
    corpus: row.corpus_id,
    spans: referenceList.parse(JSON.parse(row.references)).map((span) => ({ start: span.start_index, end: span.end_index })),
    vector: vectors[index] ?? new Float32Array(0),
  }))
}

async function scoreSetting(
  settings: ChunkingSettings,
  { texts, questions, embed }: Corpus,
): Promise<Score & { chunks: number; chars: number }> {
  const scores: Score[] = []
  let chunkCount = 0
  let chars = 0
  const estimate = new TokenEstimates().of(null)
  for (const [name, text] of texts) {
    const chunks = [...chunkDocument(paragraphs(text), { name, settings, estimate })]
    const vectors = await embed(
      chunks.map((chunk) => chunk.embedText),
      'document',
    )
    chunkCount += chunks.length
    chars += chunks.reduce((sum, chunk) => sum + chunk.text.length, 0)
    for (const question of questions.filter(({ corpus }) => corpus === name)) {
      const similarity = vectors.map((vector) => dot(vector, question.vector))
      const ranked = chunks.toSorted((a, b) => (similarity[b.ordinal] ?? 0) - (similarity[a.ordinal] ?? 0))
      scores.push(scoreOf(retrieved(text.length, ranked), question.spans))
    }
  }
  return { ...mean(scores), chunks: chunkCount, chars: chars / chunkCount }
}

interface Corpus {
  readonly texts: ReadonlyMap<string, string>
  readonly questions: readonly Question[]
  readonly embed: EmbedTexts
}

const grid: readonly ChunkingSettings[] = [
  ...[64, 100, 150, 200, 250, 300, 400].map((targetTokens) => ({
    targetTokens,
    maxTokens: Math.round(targetTokens * 1.6),
    overlapTokens: 0,
  })),
  ...[100, 200, 300].map((targetTokens) => ({
    targetTokens,
    maxTokens: Math.round(targetTokens * 1.6),
    overlapTokens: Math.round(targetTokens / 5),
  })),
]

async function measure(options: BenchOptions & { readonly dataPath: string }, { embed, identity }: EmbeddingSource): Promise<BenchResult> {
  const folder = join(options.dataPath, 'chunking')
  const questions = await readQuestions(folder, embed)
  const texts = new Map<string, string>()
  for (const name of new Set(questions.map(({ corpus }) => corpus))) texts.set(name, await readFile(join(folder, `${name}.md`), 'utf8'))
  const corpus = { texts, questions, embed }
  const data: Record<string, unknown> = { embedder: (await identity()).model }
  const scored: Score[] = []
  for (const settings of options.isQuick ? [] : grid) {
    const score = await scoreSetting(settings, corpus)
    scored.push(score)
    const line = `target ${settings.targetTokens} max ${settings.maxTokens} overlap ${settings.overlapTokens}`
    data[line] = { ...score }
    options.log(
      `${line}: ${score.chunks} chunks of ${Math.round(score.chars)} characters, recall ${rounded(score.recall)}, precision ${rounded(score.precision)}, IoU ${rounded(score.iou)}`,
    )
  }
  const chosen = await scoreSetting(chunkingDefaults, corpus)
  const best = Math.max(chosen.recall, ...scored.map(({ recall }) => recall))
  const bars = [
    atLeast('recall of the default, share of the best of the grid', rounded(chosen.recall / best), 0.97),
    atLeast('recall in 4,000 characters', rounded(chosen.recall), 0.75),
  ]
  return benchResult('chunking', options, {
    bars: setForMiniLm(bars, options),
    data: { ...data, default: { ...chunkingDefaults, ...chosen } },
  })
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const { dataPath } = options
  if (dataPath === undefined) throw new Error('chunking needs --data PATH: the folder that holds chunking/')
  const source = sourceOf(options)
  try {
    return await measure({ ...options, dataPath }, source)
  } finally {
    await source.close()
  }
}
