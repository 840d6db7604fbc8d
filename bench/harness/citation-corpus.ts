/** A retrieval set, and a plain BM25 over it for benches that need passages and not a search engine. */
import { join } from 'node:path'

import { contentWords } from '../../src/answer/words.ts'
import type { SearchHit } from '../../src/core/corpus.ts'
import { readLines, type SetLine } from './retrieval-sets.ts'

export interface RetrievalSet {
  readonly documents: readonly SetLine[]
  readonly queries: readonly SetLine[]
}

export async function readSet(folder: string): Promise<RetrievalSet> {
  const documents = await readLines(join(folder, 'corpus.jsonl'))
  return { documents, queries: await readLines(join(folder, 'queries.jsonl')) }
}

export interface SearchLegs {
  /** Of each document to the question; null: no vector leg. */
  readonly cosine?: ((id: string) => number) | null
  readonly words?: boolean
}

/** Robertson's usual constants. */
const k1 = 1.2
const b = 0.75

export class Corpus {
  readonly #documents: readonly {
    readonly id: string
    readonly title: string
    readonly text: string
    readonly words: ReadonlyMap<string, number>
    readonly length: number
  }[]
  readonly #frequency = new Map<string, number>()
  readonly #meanLength: number

  constructor({ documents }: RetrievalSet) {
    this.#documents = documents.map((document) => {
      const words = countWords(`${document.title} ${document.text}`)
      return { ...document, words, length: [...words.values()].reduce((sum, count) => sum + count, 0) }
    })
    for (const { words } of this.#documents)
      for (const word of words.keys()) this.#frequency.set(word, (this.#frequency.get(word) ?? 0) + 1)
    this.#meanLength = this.#documents.reduce((sum, { length }) => sum + length, 0) / Math.max(1, this.#documents.length)
  }

  textOf(id: string): string {
    return this.#documents.find((document) => document.id === id)?.text ?? ''
  }

  get ids(): readonly string[] {
    return this.#documents.map(({ id }) => id)
  }

  /** Weight of a word; of one that no document holds, the greatest. */
  #idf(word: string): number {
    const count = this.#frequency.get(word) ?? 0
    return Math.log(1 + (this.#documents.length - count + 0.5) / (count + 0.5))
  }

  /** The best `limit` documents, whole, by words, by `cosine`, or by both. */
  search(query: string, limit: number, { cosine = null, words: hasWords = true }: SearchLegs = {}): SearchHit[] {
    const words = hasWords ? [...contentWords(query)] : []
    const scored = this.#documents.map((document) => ({
      document,
      keyword: this.#score(document, words),
      vector: cosine?.(document.id) ?? null,
    }))
    const keywordMax = Math.max(...scored.map(({ keyword }) => keyword), 1e-9)
    const fused = scored.map((one) => ({
      ...one,
      score: one.vector === null ? one.keyword / keywordMax : (one.keyword / keywordMax + Math.max(0, one.vector)) / 2,
    }))
    const inLegs = legs(fused)
    return fused
      .toSorted((x, y) => y.score - x.score)
      .slice(0, limit)
      .filter(({ score }) => score > 0)
      .map(({ document: { id, title, text }, keyword, vector, score }) => ({
        collection: 'docs',
        document: { id, title, uri: null, metadata: {} },
        chunk: { id, text, start: 0, end: text.length, page: null, headings: [], kind: 'text' },
        score,
        scores: { keyword: inLegs.keyword.has(id) ? keyword : null, vector: inLegs.vector.has(id) ? vector : null, rerank: null },
        highlights: [],
        before: '',
        after: '',
        passage: { start: 0, end: text.length },
      }))
  }

  #score({ words, length }: { readonly words: ReadonlyMap<string, number>; readonly length: number }, query: readonly string[]): number {
    return query.reduce((sum, word) => {
      const count = words.get(word) ?? 0
      return count === 0 ? sum : sum + (this.#idf(word) * count * (k1 + 1)) / (count + k1 * (1 - b + (b * length) / this.#meanLength))
    }, 0)
  }
}

/** What a leg hands to fusion. */
const legMax = 30

function legs(scored: readonly { readonly document: { readonly id: string }; readonly keyword: number; readonly vector: number | null }[]) {
  const best = (of: (one: (typeof scored)[number]) => number): Set<string> =>
    new Set(
      scored
        .filter((one) => of(one) > 0)
        .toSorted((x, y) => of(y) - of(x))
        .slice(0, legMax)
        .map(({ document }) => document.id),
    )
  return { keyword: best(({ keyword }) => keyword), vector: best(({ vector }) => vector ?? 0) }
}

/** Occurrences per word, stemmed as `contentWords` does. */
function countWords(text: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const piece of text.split(/\s+/)) for (const word of contentWords(piece)) counts.set(word, (counts.get(word) ?? 0) + 1)
  return counts
}
