// The parts of `corral ingest` and `corral ask` that need no gateway: what paths mean, how far all is, and what is drawn of it.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { Eta, timeText } from '../../src/cli/rag/eta.ts'
import { eventsOf } from '../../src/cli/rag/event-stream.ts'
import { barLines } from '../../src/cli/rag/ingest-progress.ts'
import { collectionNameFor, findSources, renamed } from '../../src/cli/rag/ingest-sources.ts'
import { Tally } from '../../src/cli/rag/ingest-tally.ts'
import { type JobView, jobView } from '../../src/cli/rag/rag-api.ts'
import { sourceLines } from '../../src/cli/rag/source-list.ts'
import { createFolder } from '../config/folder.ts'

const all = { include: ['**'], exclude: ['**/.*', '**/.*/**'] }
const plain = (_tone: string, text: string): string => text

function job(document: string, change: Partial<JobView> = {}): JobView {
  const stages = ['upload', 'extract', 'chunk', 'embed', 'index'].map((stage) => ({ stage, done: 0, total: 0, etaMs: null }))
  const base = { id: document, collection: 'c', document, state: 'queued', stage: 'upload', stages, outcome: null, duplicateOf: null }
  return jobView.parse({ ...base, error: null, createdAt: '2026-01-01T00:00:00.000Z', ...change })
}

test('a folder gives each file by its path below it, without hidden ones; several paths put the folder before; one file or page may have another id', async () => {
  const folder = createFolder({ 'a.md': 'a' })
  mkdirSync(join(folder, 'sub', '.git'), { recursive: true })
  writeFileSync(join(folder, 'sub', 'b.md'), 'bb')
  writeFileSync(join(folder, 'sub', '.git', 'c.md'), 'c')
  const [name = ''] = folder.split('/').slice(-1)
  const found = await findSources({ ...all, paths: [folder] })
  expect(found.map(({ document, sizeBytes }) => [document, sizeBytes])).toEqual([
    ['a.md', 1],
    ['sub/b.md', 2],
  ])
  const both = await findSources({ ...all, paths: [folder, 'https://example.org/x'] })
  expect(both.map(({ document }) => document)).toEqual([`${name}/a.md`, `${name}/sub/b.md`, 'https://example.org/x'].toSorted())
  const named = await findSources({ ...all, paths: ['https://example.org/x'] })
  expect(renamed(named, 'page')).toEqual([expect.objectContaining({ document: 'page', path: 'https://example.org/x', isPage: true })])
  for (const many of [both, found]) expect(() => renamed(many, 'page')).toThrow('--id names one file or page')
})

test('a path that is not there, two files of one name and a folder without files are told as wrong usage', async () => {
  const [one, two] = [createFolder({ 'a.md': 'a' }), createFolder({ 'a.md': 'b' })]
  const empty = createFolder({})
  await expect(findSources({ ...all, paths: [join(one, 'none')] })).rejects.toMatchObject({
    exitCode: 2,
    message: /no such file or folder/,
  })
  await expect(findSources({ ...all, paths: [join(one, 'a.md'), join(two, 'a.md')] })).rejects.toMatchObject({
    exitCode: 2,
    message: /would both be the document a\.md/,
  })
  await expect(findSources({ ...all, paths: [empty] })).rejects.toMatchObject({ exitCode: 2, message: /^no files in/ })
})

test('a collection is named as its one folder, in letters a collection may have, else default', async () => {
  const folder = createFolder({ 'a.md': 'a' })
  mkdirSync(join(folder, 'My Döcs (new)'))
  mkdirSync(join(folder, '文書'))
  expect(await collectionNameFor([join(folder, 'My Döcs (new)')])).toBe('my-do-cs-new')
  expect(await collectionNameFor([join(folder, '文書')])).toBe('default')
  expect(await collectionNameFor([join(folder, 'a.md')])).toBe('default')
  expect(await collectionNameFor([folder, folder])).toBe('default')
})

test('documents weigh by their bytes, and one that failed is through with every stage', () => {
  const tally = new Tally([
    { document: 'big', path: 'big', sizeBytes: 9_000, wasNamed: true },
    { document: 'small', path: 'small', sizeBytes: 1_000, wasNamed: true },
  ])
  tally.sent('big', 4_500)
  expect(tally.stages()[0]).toMatchObject({ stage: 'upload', share: 0.45, documents: 0 })
  tally.failed('small', { code: 'document_broken', message: 'cut off' })
  const chunked = { stage: 'chunk', done: 10, total: 10, etaMs: null } as const
  const embedding = { stage: 'embed', done: 4, total: 10, etaMs: null } as const
  expect(tally.heard('big', job('big', { state: 'running', stage: 'embed', stages: [chunked, embedding] }))).toBe(false)
  const [, extract, , embed, index] = tally.stages()
  expect(extract).toMatchObject({ share: 1, documents: 2 })
  expect(embed?.share).toBeCloseTo(0.1 + 0.9 * 0.4)
  expect(embed).toMatchObject({ chunksDone: 4, chunksTotal: 10 })
  expect(index?.share).toBeCloseTo(0.1)
  expect(tally.heard('big', job('big', { state: 'done', outcome: 'written', stages: [chunked] }))).toBe(true)
  expect([tally.over, tally.chunks, tally.share(), tally.counts.failed]).toEqual([2, 10, expect.closeTo(1), 1])
})

test('a picture among the pages of a folder is skipped; a scan has failed, and so has a picture that was named', () => {
  const tally = new Tally([
    { document: 'docs/a.png', path: 'docs/a.png', sizeBytes: 9_000, wasNamed: false },
    { document: 'docs/a.zip', path: 'docs/a.zip', sizeBytes: 1_000, wasNamed: false },
    { document: 'docs/scan.PDF', path: 'docs/scan.PDF', sizeBytes: 1_000, wasNamed: false },
    { document: 'b.png', path: 'b.png', sizeBytes: 1_000, wasNamed: true },
  ])
  const picture = { code: 'document_needs_ocr', message: 'it is a picture (image/png)' }
  tally.failed('docs/a.png', picture)
  tally.failed('docs/a.zip', { code: 'document_unsupported', message: 'application/zip cannot be read' })
  tally.failed('docs/scan.PDF', { code: 'document_needs_ocr', message: 'no text layer' })
  tally.failed('b.png', picture)
  expect([tally.counts.skipped, tally.counts.failed, tally.over]).toEqual([2, 2, 4])
  expect(tally.failures.map(({ document }) => document)).toEqual(['docs/scan.PDF', 'b.png'])
})

test('bars fit the terminal and tell counts, failures and the time that is left', () => {
  const tally = new Tally([
    { document: 'a', path: 'a', sizeBytes: 1_000, wasNamed: true },
    { document: 'b', path: 'b', sizeBytes: 1_000, wasNamed: true },
  ])
  tally.failed('a', { code: 'document_empty', message: 'no text' })
  expect(barLines(tally, { columns: 79, etaMs: 8_000, reason: null })).toEqual([
    'upload  [############------------]  50 %  1/2',
    'extract [############------------]  50 %  1/2',
    'chunk   [############------------]  50 %  1/2',
    'embed   [############------------]  50 %  ',
    'index   [############------------]  50 %  1/2',
    '1 of 2 documents, 1 failed, 8 s left',
  ])
  expect(barLines(tally, { columns: 10, etaMs: null, reason: null }).every((line) => line.length <= 10)).toBe(true)
})

test('the time that is left goes by how fast it went of late', () => {
  const eta = new Eta()
  expect(eta.add(0, 0)).toBe(null)
  expect(eta.add(1_000, 0.1)).toBe(null)
  expect(eta.add(2_000, 0.2)).toBe(8_000)
  expect(eta.add(60_000, 0.6)).toBeCloseTo((0.4 * 58_000) / 0.4)
  expect([500, 59_000, 125_000, 4_320_000].map(timeText)).toEqual(['1 s', '59 s', '2 min 5 s', '1 h 12 min'])
})

test('events are read whole however the bytes are cut, and comments are left out', async () => {
  const bytes = new TextEncoder().encode(': wait\n\nevent: text\ndata: {"text":"añ"}\n\nevent: done\r\ndata: {}\r\n\r\n')
  for (let size = 1; size <= bytes.length; size += 1) {
    const parts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.slice(at * size, (at + 1) * size))
    const events: unknown[] = []
    for await (const event of eventsOf(new Response(ReadableStream.from(parts)))) events.push(event)
    expect(events).toEqual([
      { event: 'text', data: { text: 'añ' } },
      { event: 'done', data: {} },
    ])
  }
})

test('sources are the cited ones by title, page and address; all of them with their words when asked for', () => {
  const source = { collection: 'c', document: 'a.pdf', title: 'Manual', uri: null, page: 3, headings: [] }
  const sources = [
    { ...source, number: 1 },
    { ...source, number: 2, document: 'b.md', title: 'Notes', uri: 'https://example.org/b', page: null, headings: ['Top', 'Part'] },
  ]
  const citations = [{ number: 2, quote: 'as  it\nstands' }]
  expect(sourceLines(sources, citations, { all: false, paint: plain })).toEqual(['[2] Notes, Part, https://example.org/b'])
  expect(sourceLines(sources, citations, { all: true, paint: plain })).toEqual([
    '[1] Manual, page 3, a.pdf  not cited',
    '[2] Notes, Part, https://example.org/b',
    '    “as it stands”',
  ])
})
