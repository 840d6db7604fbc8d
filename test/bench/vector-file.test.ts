// Files of vectors: continued, and read only for the texts and the model they are of.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

import { CannotRun } from '../../bench/harness/cannot-run.ts'
import { continueVectors, readVectors, type TextSet, type VectorFile } from '../../bench/harness/vector-file.ts'

const texts = Array.from({ length: 600 }, (_, at) => (at % 100 === 50 ? '' : `text number ${at}`))
const set: TextSet = { name: 'small.documents', role: 'document', texts }
const embedder = { model: 'some-embedder:latest', digest: 'ab'.repeat(32) }

function newFile(): VectorFile {
  const folder = mkdtempSync(join(tmpdir(), 'corral-vectors-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return { path: join(folder, 'vectors'), set, embedder }
}

const vectorOf = (text: string): Float32Array =>
  text === '' ? new Float32Array(5) : Float32Array.from([text.length, Number(text.split(' ')[2]), 0, 0.5, 1])

/** An embedder of five dimensions that remembers what it was asked for. */
function recorder() {
  const asked: string[] = []
  const lines: string[] = []
  return {
    asked,
    lines,
    embed: async (some: readonly string[]) => {
      asked.push(...some)
      return some.map(vectorOf)
    },
    log: (line: string) => void lines.push(line),
  }
}

test('a file has the vectors of a set in their order; empty texts are not embedded', async () => {
  const file = newFile()
  const made = recorder()
  expect(await readVectors(file)).toEqual([])
  expect(await continueVectors(file, made)).toBe(600)
  expect(await readVectors(file)).toEqual(texts.map(vectorOf))
  expect(made.asked).toEqual(texts.filter((text) => text !== ''))
  expect(made.lines[0]).toBe('small.documents: 0 of 600 texts have their vector by some-embedder:latest')
  expect(JSON.parse(readFileSync(file.path, 'latin1').split('\n')[0] ?? '')).toEqual({ set: set.name, ...embedder, dimensions: 5 })
})

test('a smaller set of the same name reads the beginning, a larger one goes on behind it', async () => {
  const file = newFile()
  const first = { ...file, set: { ...set, texts: texts.slice(0, 300) } }
  await continueVectors(first, recorder())
  const made = recorder()
  expect(await continueVectors(file, made)).toBe(600)
  expect(made.asked).toEqual(texts.slice(300).filter((text) => text !== ''))
  expect(await readVectors(first)).toEqual(texts.slice(0, 300).map(vectorOf))
})

test('an end in the middle of a write costs the vector it cut', async () => {
  const file = newFile()
  await continueVectors(file, recorder())
  truncateSync(file.path, statSync(file.path).size - 3)
  expect(await readVectors(file)).toHaveLength(599)
  const made = recorder()
  await continueVectors(file, made)
  expect(made.asked).toEqual(texts.slice(599))
  expect(await readVectors(file)).toEqual(texts.map(vectorOf))
})

test.for<[string, Partial<VectorFile>, RegExp]>([
  ['another model', { embedder: { ...embedder, model: 'other:latest' } }, /by some-embedder:latest .*not of .* by other:latest/],
  ['another build of the model', { embedder: { ...embedder, digest: 'cd'.repeat(32) } }, /\(abababababab\), not of .*\(cdcdcdcdcdcd\)/],
  ['another set', { set: { ...set, name: 'other.documents' } }, /vectors of small\.documents .*not of other\.documents/],
  ['a text that has changed', { set: { ...set, texts: texts.with(7, 'another') } }, /vector 7 is not of the text/],
])('a file is refused for %s, and stays as it is', async ([, change, why]) => {
  const file = newFile()
  await continueVectors(file, recorder())
  const bytes = readFileSync(file.path)
  const asked = { ...file, ...change }
  for (const act of [() => readVectors(asked), () => continueVectors(asked, recorder())]) {
    await expect(act()).rejects.toThrow(CannotRun)
    await expect(act()).rejects.toThrow(why)
  }
  expect(readFileSync(file.path).equals(bytes)).toBe(true)
})

test('a file is refused for a model that gets its texts with another prefix', async () => {
  const nomic = { ...newFile(), embedder: { ...embedder, model: 'nomic-embed-text:latest' } }
  await continueVectors(nomic, recorder())
  await expect(readVectors({ ...nomic, set: { ...set, role: 'query' } })).rejects.toThrow(/vector 0 is not of the text/)
})

test('a file that does not say what it holds is refused', async () => {
  const file = newFile()
  writeFileSync(file.path, Buffer.from(Float32Array.from([1, 2, 3]).buffer))
  await expect(readVectors(file)).rejects.toThrow(/does not say which texts and which model/)
  appendFileSync(file.path, '\n')
  await expect(continueVectors(file, recorder())).rejects.toThrow(CannotRun)
})

test('vectors of two dimensions never share a file', async () => {
  const file = newFile()
  await continueVectors({ ...file, set: { ...set, texts: texts.slice(0, 10) } }, recorder())
  const embed = async (some: readonly string[]): Promise<Float32Array[]> => some.map(() => new Float32Array(7))
  await expect(continueVectors(file, { embed, log: () => {} })).rejects.toThrow('vectors of 7 numbers instead of 5')
})
