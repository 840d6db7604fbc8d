// Reranking end to end: a search over HTTP, a chat model on a node that reads the passages and puts them in another order, or cannot.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { searchView } from '../../src/http/rag/answer-shapes.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel, embedModel, type Prompted, quoteAll } from './scripted-fleet.ts'

const metals = {
  copper: 'Copper is a metal. The weight of copper is 63 units.',
  tin: 'Tin is a metal. It melts early.',
  lead: 'Lead is a metal. It is heavy and soft.',
  zinc: 'Zinc is a metal. It is used on roofs.',
}
const query = 'weight of the metal copper'

let gateway: RagGateway

beforeAll(async () => {
  gateway = await startRagGateway()
  await gateway.collection('metals', metals)
})
afterAll(() => gateway.close())
beforeEach(() => {
  gateway.fleet.script = quoteAll
  gateway.fleet.prompted.length = 0
})

async function search(wish: object) {
  const reply = mustBe(200, await gateway.ask('POST', '/rag/search', { body: { collection: 'metals', query, ...wish } }))
  const found = searchView.parse(reply.json)
  return { ...found, cache: reply.headers.get('x-corral-cache'), ids: found.results.map(({ document }) => document.id) }
}

/** What a model that ranks is asked. */
const rankingOf = ({ messages }: Prompted): string => messages.at(-1)?.content ?? ''

/** Numbers of the passages, the last one first. */
const reversed = (prompted: Prompted): string =>
  [...rankingOf(prompted).matchAll(/^\[(\d+)\]/gm)]
    .map(([, number]) => number)
    .toReversed()
    .join(', ')

// Answers at temperature 0 are kept: each test that counts on a model being asked has a question of its own.
test('the order is the one that the model gives, and told as its doing', async () => {
  gateway.fleet.script = reversed
  const plain = await search({})
  expect(plain.ids[0]).toBe('copper')
  expect(gateway.fleet.prompted, 'no model is asked without a reranker').toEqual([])
  const ranked = await search({ reranker: chatModel, explain: true })
  expect(ranked.ids).toEqual(plain.ids.toReversed())
  expect(ranked.results.map(({ scores }) => scores.rerank)).toEqual([1, 0.75, 0.5, 0.25])
  expect(ranked.results.map(({ score }) => score)).toEqual(plain.results.map(({ score }) => score).toReversed())
  expect(ranked).toMatchObject({ degraded: false, degradedReason: null })
  expect(ranked.explain).toContain(`the best 4 ordered again by ${chatModel}`)
})

test('the model reads the question and every passage, in the order of the fused scores, at temperature 0', async () => {
  gateway.fleet.script = reversed
  const anew = 'metal copper and its weight'
  const plain = await search({ query: anew })
  await search({ query: anew, reranker: chatModel })
  const [asked, ...others] = gateway.fleet.prompted
  expect(others).toEqual([])
  if (asked === undefined) throw new Error('no model was asked')
  expect(asked).toMatchObject({ model: chatModel, body: { stream: false, options: { temperature: 0 } } })
  expect(rankingOf(asked)).toContain(anew)
  const passages = [...rankingOf(asked).matchAll(/^\[\d+\] (.*)$/gm)].map(([, text]) => text)
  expect(passages).toEqual(plain.results.map(({ chunk }) => chunk.text))
})

test('the best of a longer list is found where only one is asked for', async () => {
  gateway.fleet.script = reversed
  const plain = await search({})
  expect((await search({ reranker: chatModel, limit: 1 })).ids).toEqual(plain.ids.slice(-1))
})

test('a model that names no passage changes nothing, and the answer says so', async () => {
  gateway.fleet.script = () => 'All of them are good.'
  const anew = 'which metal is copper'
  const plain = await search({ query: anew })
  const babbled = await search({ query: anew, reranker: chatModel, explain: true })
  expect(babbled.ids).toEqual(plain.ids)
  expect(babbled).toMatchObject({ degraded: true, degradedReason: `not reranked: ${chatModel} named no passage` })
})

// The last: a model that its node has no more is in no list afterwards.
test.each([
  ['no node has', 'nothing:latest', /not reranked: .*nothing:latest/],
  ['its node has no more', embedModel, /not reranked: .*nomic-embed-text:latest/],
])('with a model that %s the fused order stays, and the answer says so', async (_, reranker, reason) => {
  const plain = await search({})
  const away = await search({ reranker, explain: true })
  expect(away.ids).toEqual(plain.ids)
  expect(away.results.every(({ scores }) => scores.rerank === null)).toBe(true)
  expect([away.degraded, away.degradedReason]).toEqual([true, expect.stringMatching(reason)])
  expect(away.explain).toContainEqual(expect.stringMatching(reason))
  await search({ reranker })
  expect((await search({ reranker })).cache, 'what is degraded is not kept').toBe('miss')
})
