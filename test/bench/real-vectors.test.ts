// Benches with the vectors of a server that stands for a real Ollama, on a few sentences: what is searched, and how the program takes its options.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

import { setForMiniLm, withVectors } from '../../bench/harness/bench-vectors.ts'
import { atLeast } from '../../bench/harness/result.ts'
import { hybridFigures } from '../../bench/harness/retrieval-figures.ts'
import { BenchCollection } from '../../bench/harness/retrieval-index.ts'
import { askSet } from '../../bench/harness/retrieval-legs.ts'
import { createSimNode } from '../../src/sim/node.ts'
import { runNode } from '../cli/corral.ts'
import { embeddedOn } from '../store/stores.ts'
import { freePort } from '../support/free-port.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'

const program = fileURLToPath(new URL('../../bench/run.ts', import.meta.url))
const model = 'nomic-embed-text'
const sentences = [
  'herds of goats graze',
  'water runs downhill',
  'bricks are burnt clay',
  'ships cross the sea',
  'bees gather honey',
  'wool is spun',
]

async function startOllama(): Promise<string> {
  const node = await createSimNode({ speed: 1_000 })
  onTestFinished(() => node.close())
  return node.url
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'corral-data-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return folder
}

/** Public data of `chunking`: a text and a question about each of its sentences. */
function chunkingData(): string {
  const root = newFolder()
  const folder = join(root, 'chunking')
  mkdirSync(folder)
  const text = sentences.join('\n\n')
  const rows = sentences.map((sentence) => {
    const start = text.indexOf(sentence)
    const spans = JSON.stringify([{ content: sentence, start_index: start, end_index: start + sentence.length }])
    return `who said that ${sentence}?,"${spans.replaceAll('"', '""')}",small\n`
  })
  writeFileSync(join(folder, 'small.md'), text)
  writeFileSync(join(folder, 'questions_df.csv'), `question,references,corpus_id\n${rows.join('')}`)
  return root
}

test('a set is searched by vectors of any dimension, which are made once and kept', async () => {
  const database = embeddedOn(await embeddedFolder())
  await database.open()
  onTestFinished(() => database.close())
  const rows = (prefix: string) => sentences.map((text, at) => ({ id: `${prefix}${at}`, text }))
  const relevant = new Map(sentences.map((_, at) => [`q${at}`, new Set([`d${at}`])]))
  const set = { name: 'small', documents: rows('d'), queries: rows('q'), relevant }
  const vectorsPath = join(newFolder(), 'kept')
  const lines: string[] = []
  const call = { vectorsPath, ollama: { url: await startOllama(), model }, log: (line: string) => void lines.push(line) }
  const ask = (collection: string) =>
    withVectors(call, (vectors) => askSet(new BenchCollection(database, collection), set, { vectors, queriesMax: 100 }))
  const first = await ask('one')
  expect(hybridFigures('small', first).data).toMatchObject({ vector: 1, hybrid: 1 })
  expect(first.every(({ legs }) => legs.vector.length === sentences.length)).toBe(true)
  expect(lines.filter((line) => line.includes('texts have their vector'))).toHaveLength(2)
  expect(['documents', 'queries'].map((part) => existsSync(`${vectorsPath}.small.${part}`))).toEqual([true, true])
  expect(await ask('two')).toEqual(first)
  expect(lines.filter((line) => line.includes('texts have their vector'))).toHaveLength(2)
})

test('the program measures with the model of an Ollama, and bars of MiniLM are printed', async () => {
  const call = ['chunking', '--quick', '--data', chunkingData(), '--ollama', await startOllama(), '--embed-model', model]
  const { code, stdout, stderr } = await runNode([program, ...call]).ended
  expect(stderr).toBe('')
  expect(stdout).toMatch(/printed +recall in 4,000 characters +1 +none: >= 0\.75 is for all-minilm-l6-v2\.int8/)
  expect(code).toBe(0)
})

test('a server that is not there ends it with 3, a call that is not whole with 2', async () => {
  const url = `http://127.0.0.1:${await freePort()}`
  const run = (...args: readonly string[]) => runNode([program, 'chunking', '--data', chunkingData(), ...args]).ended
  const gone = await run('--ollama', url, '--embed-model', model)
  expect(gone).toMatchObject({ code: 3, stdout: '', stderr: expect.stringMatching(/^no Ollama answers at http.*\n$/) })
  for (const part of [
    ['--ollama', url],
    ['--ollama', 'localhost', '--embed-model', model],
  ]) {
    expect(await run(...part)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('usage:') })
  }
})

test('a bar that was set with MiniLM can be missed with MiniLM alone', () => {
  const missed = atLeast('hybrid', 0.7, 0.8)
  const call = { log: () => {} }
  expect(setForMiniLm([missed], call)).toEqual([missed])
  expect(setForMiniLm([missed], { ...call, ollama: { url: 'http://127.0.0.1:11434', model } })).toEqual([
    { name: 'hybrid', value: 0.7, isOk: true, isPrinted: true, limit: 'none: >= 0.8 is for all-minilm-l6-v2.int8' },
  ])
})
