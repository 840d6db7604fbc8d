// What makes the vectors of the benches: MiniLM behind a simulated node, or a server that stands for a real Ollama. A tiny model stands for MiniLM.
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

import { CannotRun } from '../../bench/harness/cannot-run.ts'
import { createMiniLmSource, createOllamaSource, type EmbeddingSource, miniLmName } from '../../bench/harness/embedding-source.ts'
import { hashEmbedder } from '../../src/sim/embedder.ts'
import { createSimNode, type SimNode, type SimNodeOptions } from '../../src/sim/node.ts'
import { createOnnxEmbedder } from '../../src/sim/onnx-embedder.ts'
import { tinyFolder } from '../sim/tiny-model.ts'
import { freePort } from '../support/free-port.ts'

const tinyFiles = {
  modelPath: fileURLToPath(new URL('model.onnx', tinyFolder)),
  vocabularyPath: fileURLToPath(new URL('vocabulary.txt', tinyFolder)),
}
const texts = Array.from({ length: 40 }, (_, at) => `${'herd '.repeat(1 + ((at * 7) % 11))}water`)

async function startNode(options: SimNodeOptions = {}): Promise<SimNode> {
  const node = await createSimNode({ speed: 1_000, ...options })
  onTestFinished(() => node.close())
  return node
}

function opened(source: EmbeddingSource): EmbeddingSource {
  onTestFinished(() => source.close())
  return source
}

/** A folder of models in which the tiny one has MiniLM's name. */
function tinyModels(): string {
  const folder = mkdtempSync(join(tmpdir(), 'corral-models-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  cpSync(tinyFiles.modelPath, join(folder, `${miniLmName}.onnx`))
  cpSync(tinyFiles.vocabularyPath, join(folder, 'all-minilm-l6-v2.vocab.txt'))
  return folder
}

test('the same model gives the same vectors behind a simulated node and at an Ollama', async () => {
  const { url } = await startNode({ embedder: await createOnnxEmbedder(tinyFiles) })
  const own = opened(createMiniLmSource(tinyModels()))
  const real = opened(createOllamaSource({ url, model: 'all-minilm' }))
  const made = await own.embed(texts, 'document')
  expect(made.map(({ length }) => length)).toEqual(texts.map(() => 3))
  expect(await real.embed(texts, 'document')).toEqual(made)
  expect(await own.identity()).toMatchObject({ model: miniLmName, digest: expect.stringMatching(/^[0-9a-f]{64}$/) })
})

test('vectors of an Ollama have the dimension of its model, in the order of the texts, made with the prefixes it wants', async () => {
  const { url } = await startNode()
  const source = opened(createOllamaSource({ url, model: 'nomic-embed-text' }))
  const made = await source.embed(texts, 'query')
  const wanted = await hashEmbedder(
    texts.map((text) => `search_query: ${text}`),
    768,
  )
  for (const [at, vector] of made.entries()) {
    const cosine = vector.reduce((sum, value, index) => sum + value * (wanted[at]?.[index] ?? 0), 0)
    expect(cosine).toBeCloseTo(1, 5)
  }
  const tags = (await (await fetch(`${url}/api/tags`)).json()) as { models: { name: string; digest: string }[] }
  expect(await source.identity()).toEqual({
    model: 'nomic-embed-text:latest',
    digest: tags.models.find(({ name }) => name === 'nomic-embed-text:latest')?.digest,
  })
})

test('no server at the address: says how to start one', async () => {
  const source = opened(createOllamaSource({ url: `http://127.0.0.1:${await freePort()}`, model: 'all-minilm' }))
  const failed = source.identity()
  await expect(failed).rejects.toThrow(CannotRun)
  await expect(failed).rejects.toThrow(/no Ollama answers at http.*refused.*"ollama serve"/)
})

test('a model that the server does not have: says how to fetch it, and which it has', async () => {
  const { url } = await startNode()
  const source = opened(createOllamaSource({ url, model: 'bge-m3' }))
  const failed = source.identity()
  await expect(failed).rejects.toThrow(CannotRun)
  await expect(failed).rejects.toThrow(`"OLLAMA_HOST=${url} ollama pull bge-m3"`)
  await expect(failed).rejects.toThrow('all-minilm:latest')
})

test('a model that makes no vectors is refused with what the server says', async () => {
  const { url } = await startNode()
  const source = opened(createOllamaSource({ url, model: 'llama3.2:3b' }))
  const failed = source.embed(['herd'], 'query')
  await expect(failed).rejects.toThrow(CannotRun)
  await expect(failed).rejects.toThrow(/llama3\.2:3b.*does not support embeddings/)
})

test('without its file MiniLM is missed by name', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'corral-models-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  await expect(createMiniLmSource(folder).identity()).rejects.toThrow(/all-minilm-l6-v2\.int8\.onnx cannot be read/)
})
