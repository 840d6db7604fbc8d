// An answer over documents while the embedder, or the model that ranks, does not answer: what is found by words is enough, whatever the limits.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel } from './scripted-fleet.ts'

let gateway: RagGateway

beforeAll(async () => {
  // The embedder, and the ranking model by its own limit, may take longer than retrieval.
  gateway = await startRagGateway({ config: { search: { embedMs: '60s' }, answer: { retrievalMs: '1500ms', retrievalShare: 0.9 } } })
  await gateway.collection('metals', { copper: 'Copper has a weight of 63 units.', tin: 'Tin has a weight of 118 units.' })
  mustBe(
    201,
    await gateway.ask('POST', '/rag/assistants', {
      body: { name: 'smith', model: chatModel, collections: ['metals'], settings: { reranker: chatModel } },
    }),
  )
})
afterAll(() => gateway.close())

const forever = Promise.withResolvers<void>()
afterAll(() => forever.resolve())
beforeEach(() => {
  gateway.fleet.atEmbedding = () => undefined
  gateway.fleet.atWhole = () => undefined
})

const chat = (question: string, wish: object = {}) =>
  gateway.ask('POST', '/rag/chat', { body: { collection: 'metals', model: chatModel, question, stream: false, ...wish } })

test('an answer is made of what words find while the embedder is slow, and says so', async () => {
  gateway.fleet.atEmbedding = () => forever.promise
  const { json } = mustBe(200, await chat('Which weight in units has copper?'))
  expect(json).toMatchObject({
    text: expect.stringContaining('63 units'),
    degraded: true,
    degradedReason: expect.stringMatching(/could not embed the query: no embedding within \d+ ms/),
  })
})

test('the order of the search stays while the ranking model is slow, and the answer says so', async () => {
  gateway.fleet.atWhole = () => forever.promise
  const { json } = mustBe(200, await chat('What is the weight of copper?', { settings: { reranker: chatModel } }))
  expect(json).toMatchObject({
    text: expect.stringContaining('63 units'),
    degraded: true,
    degradedReason: expect.stringMatching(/not reranked: no answer within \d+ ms/),
  })
})

test('an assistant answers while both are slow', async () => {
  gateway.fleet.atEmbedding = () => forever.promise
  gateway.fleet.atWhole = () => forever.promise
  const body = { model: 'smith', stream: true, messages: [{ role: 'user', content: 'Copper has a weight of which units?' }] }
  const { text } = mustBe(200, await gateway.ask('POST', '/api/chat', { body }))
  expect(text).toContain('63 units')
})
