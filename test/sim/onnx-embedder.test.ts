/** The embedder with a real model: a file of ONNX is loaded by the runtime and gives the vectors that stand in it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'

import { createSimNode } from '../../src/sim/node.ts'
import { createOnnxEmbedder } from '../../src/sim/onnx-embedder.ts'
import { tinyFolder, tinyModel, vocabulary } from './tiny-model.ts'

const modelPath = fileURLToPath(new URL('model.onnx', tinyFolder))
const vocabularyPath = fileURLToPath(new URL('vocabulary.txt', tinyFolder))
const half = Math.SQRT1_2

function near(vectors: readonly Float32Array[], wanted: readonly (readonly number[])[]): void {
  expect(vectors.map((vector) => [...vector].map((one) => Math.round(one * 1e4) / 1e4))).toEqual(
    wanted.map((vector) => vector.map((one) => Math.round(one * 1e4) / 1e4)),
  )
}

it('the files are those that the script writes', () => {
  expect(readFileSync(modelPath).equals(tinyModel())).toBe(true)
  expect(readFileSync(vocabularyPath, 'utf8')).toBe(vocabulary)
})

it('gives the mean of the vectors of the tokens, of length 1, whatever else is in the batch', async () => {
  const embed = await createOnnxEmbedder({ modelPath, vocabularyPath })
  near(await embed(['herd', 'Water herd', 'herds'], 0), [
    [1, 0, 0],
    [half, half, 0],
    [half, 0, half],
  ])
  near(await embed(['mountain'], 0), [[0, 0, -1]])
})

it('answers calls at once each with its own', async () => {
  const embed = await createOnnxEmbedder({ modelPath, vocabularyPath })
  const [herd, water] = await Promise.all([embed(['herd'], 0), embed(['water', 'water herd'], 0)])
  near(herd, [[1, 0, 0]])
  near(water, [
    [0, 1, 0],
    [half, half, 0],
  ])
})

it('reads a text no further than its limit', async () => {
  const embed = await createOnnxEmbedder({ modelPath, vocabularyPath, limitTokens: 3 })
  near(await embed(['herd water water water'], 0), [[1, 0, 0]])
})

it('is what a simulated node embeds with', async () => {
  const node = await createSimNode({ speed: 100, embedder: await createOnnxEmbedder({ modelPath, vocabularyPath }) })
  onTestFinished(() => node.close())
  const answer = await fetch(`${node.url}/api/embed`, {
    method: 'POST',
    body: JSON.stringify({ model: 'all-minilm', input: ['herd', 'water'] }),
  })
  const { embeddings } = (await answer.json()) as { embeddings: number[][] }
  expect(embeddings).toEqual([
    [1, 0, 0],
    [0, 1, 0],
  ])
})

it('refuses a model that gives no vectors, and goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'corral-onnx-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const idsPath = join(folder, 'ids.onnx')
  writeFileSync(idsPath, tinyModel({ float: false }))
  const embed = await createOnnxEmbedder({ modelPath: idsPath, vocabularyPath })
  for (const text of ['herd', 'water']) await expect(Promise.resolve(embed([text], 0))).rejects.toThrow('float32')
})
