/**
 * Texts and their real vectors for the benches of search: pairs of sentences of the English sets in `PATH/retrieval`, paired anew in each
 * pass over the sentences, in an order that a fixed seed gives; each pair is embedded by MiniLM as a text of its own, so no vector is made
 * from other vectors. Vectors are kept in a file (float32, one after the other) that a later call continues:
 *     node bench/harness/search-vectors.ts DATA MODELS FILE COUNT SECONDS
 * makes them in the background until the file has COUNT of them or SECONDS are over.
 */
import { appendFile, readFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'

import { systemClock } from '../../src/base/clock.ts'
import type { Embedder } from '../../src/sim/embedder.ts'
import { createOnnxEmbedder } from '../../src/sim/onnx-embedder.ts'
import { seededRandom } from './zipf.ts'
import { readLines } from './retrieval-sets.ts'

export const vectorDimensions = 384
const vectorBytes = vectorDimensions * 4
const englishSets = ['anthropic-docs', 'cacm', 'cranfield', 'xquad-en']
const seed = 20_261_125
const sentencesPerText = 2
const sentenceCharacters = { min: 30, max: 400 }
/** Texts of like length go into one inference: less padding. */
const blockTexts = 256
/** Questions whose vectors are kept beside, in FILE.queries. */
const queriesHeld = 300
const batchTexts = 16

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

async function sentencesOf(dataPath: string, set: string): Promise<string[]> {
  const documents = await readLines(join(dataPath, 'retrieval', set, 'corpus.jsonl'))
  const sentences = documents.flatMap(({ text }) => text.split(/(?<=[.!?])\s+/))
  const { min, max } = sentenceCharacters
  return [...new Set(sentences.map((sentence) => sentence.trim()))].filter(({ length }) => length >= min && length <= max)
}

/** The first `count` texts: the same for the same data, and those of a smaller count begin those of a larger one. */
export async function searchTexts(dataPath: string, count: number): Promise<string[]> {
  const random = seededRandom(seed)
  const sets = await Promise.all(englishSets.map((set) => sentencesOf(dataPath, set)))
  const texts = new Set<string>()
  while (texts.size < count) {
    const pairs = sets.flatMap((sentences) => {
      const order = shuffled(sentences, random)
      return Array.from({ length: Math.floor(order.length / sentencesPerText) }, (_, at) =>
        order.slice(at * sentencesPerText, (at + 1) * sentencesPerText).join(' '),
      )
    })
    for (const text of shuffled(pairs, random)) texts.add(text)
  }
  return [...texts].slice(0, count)
}

/** Questions of the English sets, in an order that the seed gives. */
export async function searchQueries(dataPath: string, count: number): Promise<string[]> {
  const sets = await Promise.all(englishSets.map((set) => readLines(join(dataPath, 'retrieval', set, 'queries.jsonl'))))
  const texts = [...new Set(sets.flat().map(({ text }) => text))]
  return shuffled(texts, seededRandom(seed + 1)).slice(0, count)
}

/** In the order of `texts`; batches are of like length. */
export async function embedAll(embedder: Embedder, texts: readonly string[]): Promise<Float32Array[]> {
  const order = texts.map((text, at) => ({ text, at })).toSorted((a, b) => a.text.length - b.text.length)
  const vectors: Float32Array[] = []
  for (let from = 0; from < order.length; from += batchTexts) {
    const batch = order.slice(from, from + batchTexts)
    const made = await embedder(
      batch.map(({ text }) => text),
      vectorDimensions,
    )
    for (const [index, { at }] of batch.entries()) vectors[at] = made[index] ?? new Float32Array(vectorDimensions)
  }
  return vectors
}

export function openEmbedder(modelsPath: string): Promise<Embedder> {
  return createOnnxEmbedder({
    modelPath: join(modelsPath, 'all-minilm-l6-v2.int8.onnx'),
    vocabularyPath: join(modelsPath, 'all-minilm-l6-v2.vocab.txt'),
  })
}

/** The vectors in a file, at most `count`; none when there is no file. */
export async function readVectors(path: string, count: number): Promise<Float32Array[]> {
  const bytes = await readFile(path).catch(() => Buffer.alloc(0))
  const held = Math.min(Math.floor(bytes.length / vectorBytes), count)
  const numbers = new Float32Array(new Uint8Array(bytes.subarray(0, held * vectorBytes)).buffer)
  return Array.from({ length: held }, (_, at) => numbers.subarray(at * vectorDimensions, (at + 1) * vectorDimensions))
}

/** Continues the file with vectors of `texts` until it has all or `untilMs` has come; gives how many it has then. */
export async function continueVectors(
  path: string,
  texts: readonly string[],
  options: { embedder: Embedder; untilMs: number },
): Promise<number> {
  const { size } = await stat(path).catch(() => ({ size: 0 }))
  let held = Math.floor(size / vectorBytes)
  if (size % vectorBytes !== 0) await truncate(path, held * vectorBytes)
  while (held < texts.length && systemClock.nowMs() < options.untilMs) {
    const vectors = await embedAll(options.embedder, texts.slice(held, held + blockTexts))
    await appendFile(path, Buffer.concat(vectors.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength))))
    held += vectors.length
  }
  return held
}

async function main([dataPath, modelsPath, path, count, seconds]: readonly string[]): Promise<void> {
  if (dataPath === undefined || modelsPath === undefined || path === undefined) throw new Error('DATA MODELS FILE COUNT SECONDS')
  const untilMs = systemClock.nowMs() + Number(seconds) * 1_000
  const embedder = await openEmbedder(modelsPath)
  await continueVectors(`${path}.queries`, await searchQueries(dataPath, queriesHeld), { embedder, untilMs })
  const texts = await searchTexts(dataPath, Number(count))
  const held = await continueVectors(path, texts, { embedder, untilMs })
  process.stdout.write(`${held} of ${texts.length}\n`)
}

if (import.meta.main) await main(process.argv.slice(2))
