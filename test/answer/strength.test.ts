// How strong retrieval is where only some of what was found has vectors.
import { expect, test } from 'vitest'

import type { SearchHit } from '../../src/core/corpus.ts'
import { strengthOf } from '../../src/answer/strength.ts'
import { hitOf } from './setup.ts'

const query = 'how large may uploads be'
const byWords = { ...hitOf({ id: 'limits', text: 'Uploads may be 32 MB large.' }), scores: { keyword: 9, vector: null, rerank: null } }
const stranger = { ...hitOf({ id: 'menu', text: 'Soup at noon.' }), scores: { keyword: null, vector: 0.1, rerank: null } }
const judge = (found: SearchHit) => strengthOf(query, { results: [found, stranger] }, { strengthMin: 0.5 })

test('a hit that has no vector yet is judged by its words, whatever vectors of other documents say', () => {
  expect(judge({ ...byWords, lacksVector: true })).toMatchObject({ sufficient: true })
  expect(judge(byWords), 'both legs could have found it').toMatchObject({ sufficient: false })
})
