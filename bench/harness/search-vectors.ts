/**
 * Texts and their real vectors for the benches of search: pairs of sentences of the English sets in `PATH/retrieval`, paired anew in each
 * pass over the sentences, in an order that a fixed seed gives; each pair is embedded as a text of its own, so no vector is made from other
 * vectors. They are kept in `--vectors FILE`. MiniLM takes an hour of a core for 100,000, so its file is made beforehand, in the background:
 *     node bench/harness/search-vectors.ts DATA MODELS FILE COUNT SECONDS
 * goes on with it until it has COUNT of them or SECONDS are over. Those of a real Ollama (`--ollama`) are made by the bench that needs them.
 */
import { join } from 'node:path'

import { systemClock } from '../../src/base/clock.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { type BenchVectors, withVectors } from './bench-vectors.ts'
import { createMiniLmSource } from './embedding-source.ts'
import type { BenchOptions } from './result.ts'
import { readLines } from './retrieval-sets.ts'
import type { SearchCorpus } from './search-corpus.ts'
import { continueVectors, type TextSet } from './vector-file.ts'

const englishSets = ['anthropic-docs', 'cacm', 'cranfield', 'xquad-en']
const seed = 20_261_125
const sentencesPerText = 2
const sentenceCharacters = { min: 30, max: 400 }
/** Questions whose vectors are kept beside, in FILE.queries. */
const queriesHeld = 300
const queriesSuffix = '.queries'

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
async function searchTexts(dataPath: string, count: number): Promise<TextSet> {
  const random = randomSequence(seed)
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
  return { name: 'search.texts', role: 'document', texts: [...texts].slice(0, count) }
}

/** Questions of the English sets, in an order that the seed gives. */
async function searchQueries(dataPath: string, count: number): Promise<TextSet> {
  const sets = await Promise.all(englishSets.map((set) => readLines(join(dataPath, 'retrieval', set, 'queries.jsonl'))))
  const texts = [...new Set(sets.flat().map(({ text }) => text))]
  return { name: 'search.queries', role: 'query', texts: shuffled(texts, randomSequence(seed + 1)).slice(0, count) }
}

export interface Asked {
  readonly text: string
  readonly vector: Float32Array
}

export interface SearchVectors {
  readonly corpus: SearchCorpus
  readonly questions: readonly Asked[]
}

interface Counts {
  readonly texts: number
  readonly questions: number
}

/** A corpus of at most so many texts, and at most so many questions: fewer where the file of MiniLM's vectors has fewer. */
export function readSearchVectors(options: BenchOptions & { readonly dataPath: string }, counts: Counts): Promise<SearchVectors> {
  return withVectors(options, async (vectors) => {
    const read: BenchVectors['of'] = options.ollama === undefined ? vectors.held : vectors.of
    const queries = await searchQueries(options.dataPath, counts.questions)
    const asked = await read(queries, queriesSuffix)
    const set = await searchTexts(options.dataPath, counts.texts)
    const made = await read(set, '')
    return {
      corpus: { texts: set.texts.slice(0, made.length), vectors: made, embedder: vectors.embedder },
      questions: asked.map((vector, at) => ({ text: queries.texts[at] ?? '', vector })),
    }
  })
}

async function main([dataPath, modelsPath, path, count, seconds]: readonly string[]): Promise<void> {
  if (dataPath === undefined || modelsPath === undefined || path === undefined) throw new Error('DATA MODELS FILE COUNT SECONDS')
  const untilMs = systemClock.nowMs() + Number(seconds) * 1_000
  const source = createMiniLmSource(modelsPath)
  try {
    const embedder = await source.identity()
    const options = { embed: source.embed, untilMs, log: (line: string) => void process.stderr.write(`${line}\n`) }
    await continueVectors({ path: path + queriesSuffix, set: await searchQueries(dataPath, queriesHeld), embedder }, options)
    const set = await searchTexts(dataPath, Number(count))
    const held = await continueVectors({ path, set, embedder }, options)
    process.stdout.write(`${held} of ${set.texts.length}\n`)
  } finally {
    await source.close()
  }
}

if (import.meta.main) await main(process.argv.slice(2))
