// How long a chunk may be for an embedder: what its nodes give it, which may be less than what it was made for.
import { afterEach, expect, test } from 'vitest'

import { createSimNode } from '../../src/sim/node.ts'
import { mustBe, startRagGateway } from './rag-gateway.ts'

const embedder = {
  name: 'all-minilm:latest',
  sizeBytes: 45_960_996,
  family: 'bert',
  parameterSize: '23M',
  quantization: 'F16',
  contextLength: 512,
  embeddingLength: 384,
  capabilities: ['embedding'],
  loadMs: 0,
} as const
const words = 'Some words of a long paragraph that goes on and on without any end. '.repeat(60)

let close: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of close.toReversed()) await end()
  close = []
})

/** The longest chunk that a long text is cut into, in characters, when the embedder's Modelfile has these parameters. */
async function longestChunk(parameters: Readonly<Record<string, unknown>>): Promise<number> {
  const node = await createSimNode({ models: [{ ...embedder, parameters }], speed: 1_000 })
  close.push(() => node.close())
  const gateway = await startRagGateway({ nodeUrls: [node.url] })
  close.push(() => gateway.close())
  const chunking = { targetTokens: 450, maxTokens: 480, overlapTokens: 0 }
  mustBe(201, await gateway.ask('POST', '/rag/collections', { body: { name: 'long', settings: { embedder: embedder.name, chunking } } }))
  await gateway.put('long', 'a.txt', words)
  const { rows } = await gateway.database.tx({ tenant: 'local' }, (transaction) =>
    transaction.query('select max(length(text))::int as longest from rag_chunks'),
  )
  return Number(rows[0]?.['longest'])
}

test('a num_ctx in the Modelfile bounds chunks, which the node would cut without a word', async () => {
  // Ollama's library gives all-minilm 256 of its 512.
  const bounded = await longestChunk({ num_ctx: 256, stop: ['num_ctx 8'] })
  expect(bounded).toBeLessThan(0.75 * (await longestChunk({})))
})

test('a num_ctx above what the model was made for changes nothing', async () => {
  expect(await longestChunk({ num_ctx: 8_192 })).toBe(await longestChunk({}))
})
