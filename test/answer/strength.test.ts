// How strong retrieval is where only some of what was found has vectors.
import { expect, test } from 'vitest'

import type { SearchHit } from '../../src/core/corpus.ts'
import { areMeasured, strengthOf } from '../../src/answer/strength.ts'
import { hitOf } from './setup.ts'

const query = 'how large may uploads be'
const byWords = { ...hitOf({ id: 'limits', text: 'Uploads may be 32 MB large.' }), scores: { keyword: 9, vector: null, rerank: null } }
const stranger = { ...hitOf({ id: 'menu', text: 'Soup at noon.' }), scores: { keyword: null, vector: 0.1, rerank: null } }
const judge = (found: SearchHit) => strengthOf(query, { results: [found, stranger] }, { strengthMin: 0.5, countsCosines: true })

test('a hit that has no vector yet is judged by its words, whatever vectors of other documents say', () => {
  expect(judge({ ...byWords, lacksVector: true })).toMatchObject({ sufficient: true })
  expect(judge(byWords), 'both legs could have found it').toMatchObject({ sufficient: false })
})

test('with an embedder whose cosines were not measured only words decide, whatever the cosine', () => {
  const found = (text: string, vector: number) => ({
    results: [{ ...hitOf({ id: 'a', text }), scores: { keyword: 3, vector, rerank: null } }],
  })
  const judgeBy = (countsCosines: boolean, text: string, vector: number) =>
    strengthOf(query, found(text, vector), { strengthMin: 0.5, countsCosines }).sufficient
  // Of an embedder that gives 0.75 to what has nothing to do with each other, and of one whose best is 0.3.
  expect([judgeBy(true, 'Soup at noon.', 0.75), judgeBy(false, 'Soup at noon.', 0.75)]).toEqual([true, false])
  expect([judgeBy(false, 'Uploads may be 32 MB large.', 0.3), judgeBy(false, 'Uploads may be 32 MB large.', 0.9)]).toEqual([true, true])
})

test('a question in another language than what was found is not judged by its words', () => {
  const judgeOne = (asked: string, text: string) =>
    strengthOf(
      asked,
      { results: [{ ...hitOf({ id: 'a', text }), scores: { keyword: null, vector: 0.7, rerank: null } }] },
      { strengthMin: 0.5, countsCosines: false },
    )
  const text = 'The size of an upload is limited to 32 MB, and that is for all of the plans.'
  expect(judgeOne('Wie groß darf eine Datei sein, die ich hochlade?', text)).toEqual({ probability: 0.5, sufficient: true })
  expect(judgeOne('Насколько большим может быть файл?', text)).toMatchObject({ sufficient: true })
  expect(judgeOne('Who is the singer of the opera of the penguins?', text)).toMatchObject({ sufficient: false })
  expect(judgeOne('penguin operas', text)).toMatchObject({ sufficient: false })
})

test('MiniLM is measured under the names that Ollama has for it, and no other embedder', () => {
  expect(['all-minilm', 'library/all-minilm:22m', null].map((name) => areMeasured([name]))).toEqual([true, true, true])
  expect(['all-minilm:33m', 'nomic-embed-text', 'bge-m3:latest'].map((name) => areMeasured([name]))).toEqual([false, false, false])
  expect(areMeasured(['all-minilm', 'nomic-embed-text'])).toBe(false)
})
