// Chunks over random documents and over cases with a name: coverage, limits, offsets, headings, tables, code, overlap.

import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import type { Block, Chunk, ChunkingSettings, ParsedDocument } from '../../src/core/corpus.ts'
import { chunkDocument } from '../../src/ingest/chunk.ts'
import { TokenEstimates } from '../../src/ingest/token-estimate.ts'
import { parseText } from './pipeline-play.ts'

const estimate = new TokenEstimates().of(null)
const small: ChunkingSettings = { targetTokens: 30, maxTokens: 48, overlapTokens: 0 }

function chunks(document: ParsedDocument | string, settings = small): Chunk[] {
  const parsed =
    typeof document === 'string' ? parseText({ bytes: new TextEncoder().encode(document), name: 'x', declaredType: null }) : document
  return [...chunkDocument(parsed, { name: 'guide.md', settings, estimate })]
}

const sentence = (words: number): string => `Here are ${Array.from({ length: words }, (_, index) => `word${index}`).join(' ')}.`

const kinds: readonly Block['kind'][] = ['heading', 'paragraph', 'list', 'quote', 'table', 'code', 'row']
const blockText = fc.oneof(
  fc.lorem({ maxCount: 40 }),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 400 }),
  fc.array(fc.lorem({ maxCount: 4 }), { minLength: 1, maxLength: 20 }).map((lines) => lines.map((line) => `| ${line} | x |`).join('\n')),
)
const document = fc
  .array(fc.tuple(fc.constantFrom(...kinds), blockText, fc.integer({ min: 1, max: 6 })), { maxLength: 30 })
  .map((parts): ParsedDocument => {
    const blocks: Block[] = []
    let text = ''
    let path: string[] = []
    for (const [kind, content, level] of parts) {
      if (content.trim() === '') continue
      const isHeading = kind === 'heading'
      if (isHeading) path = path.slice(0, level - 1)
      blocks.push({
        kind,
        start: text.length,
        end: text.length + content.length,
        page: null,
        headings: path,
        level: isHeading ? level : null,
      })
      if (isHeading) path = [...path, content]
      text += `${content}\n\n`
    }
    return { title: 'Title', text, blocks, contentType: 'text/plain', pages: null, warnings: [] }
  })

const isSpace = (text: string): boolean => text.trim() === ''

test('every character of a block is in exactly one chunk, or in the heading path of one; none is over the limit; offsets are exact', () => {
  fc.assert(
    fc.property(document, (parsed) => {
      const made = chunks(parsed)
      const times = new Uint8Array(parsed.text.length)
      for (const [index, chunk] of made.entries()) {
        expect(chunk.ordinal).toBe(index)
        expect(chunk.text).toBe(parsed.text.slice(chunk.start, chunk.end))
        expect(isSpace(chunk.text)).toBe(false)
        expect(chunk.start).toBeGreaterThanOrEqual(made[index - 1]?.end ?? 0)
        expect(estimate.tokens(chunk.embedText)).toBeLessThanOrEqual(small.maxTokens + 2)
        for (let at = chunk.start; at < chunk.end; at += 1) times[at] = (times[at] ?? 0) + 1
      }
      for (const block of parsed.blocks) {
        if (block.kind === 'heading') continue
        for (let at = block.start; at < block.end; at += 1) if (!isSpace(parsed.text[at] ?? '')) expect(times[at]).toBe(1)
      }
      for (const heading of parsed.blocks.filter(({ kind }) => kind === 'heading')) {
        const title = parsed.text.slice(heading.start, heading.end)
        const isSeen =
          made.some((chunk) => chunk.headings.includes(title)) || times.subarray(heading.start, heading.end).some((count) => count === 1)
        expect(isSeen).toBe(true)
      }
    }),
    { numRuns: 300 },
  )
})

test('tables and code stand alone, whatever is beside them', () => {
  const made = chunks('Before.\n\n| a | b |\n| 1 | 2 |\n\nBetween.\n\n```\ncode\n```\n\nAfter.')
  expect(made.map(({ kind, text }) => [kind, text.split('\n')[0]])).toEqual([
    ['text', 'Before.'],
    ['table', '| a | b |'],
    ['text', 'Between.'],
    ['code', '```'],
    ['text', 'After.'],
  ])
})

test('a long table is cut between rows, and the embedder reads its head with every part', () => {
  const rows = Array.from({ length: 20 }, (_, index) => `| row ${index} | value ${index * 7} |`)
  const made = chunks(['| Name | Value |', '|---|---|', ...rows].join('\n'))
  expect(made.length).toBeGreaterThan(3)
  for (const { text, embedText } of made) {
    expect(embedText.split('| Name | Value |')).toHaveLength(2)
    for (const line of text.split('\n')) expect(line).toMatch(/^\|.*\|$/)
  }
})

test('short paragraphs of one section are joined up to the target, those of two sections are not', () => {
  const made = chunks(`# A\n\n${sentence(3)}\n\n${sentence(3)}\n\n# B\n\n${sentence(3)}`)
  expect(made.map(({ text }) => text)).toEqual([`# A\n\n${sentence(3)}\n\n${sentence(3)}`, `# B\n\n${sentence(3)}`])
  expect(made.map(({ embedText }) => embedText.split('\n')[0])).toEqual(['guide.md › A', 'guide.md › B'])
})

test('headings go with what follows; one with nothing below it is a chunk of its own', () => {
  const made = chunks('# A\n\n## A1\n\nText.\n\n## A2\n\n# B\n\n| t |\n| 1 |')
  expect(made.map(({ text }) => text)).toEqual(['# A\n\n## A1\n\nText.', '## A2', '| t |\n| 1 |'])
  expect(made.map(({ headings }) => headings)).toEqual([['A', 'A1'], ['A'], ['B']])
})

test('a long paragraph is cut between sentences into parts of even size', () => {
  const made = chunks(Array.from({ length: 12 }, () => sentence(6)).join(' '))
  for (const { text } of made) expect(text).toMatch(/^Here .*\.$/s)
  const sizes = made.map(({ text }) => text.length)
  expect(Math.min(...sizes)).toBeGreaterThan(Math.max(...sizes) * 0.45)
})

/** Up to what is too long for one chunk, and beyond. */
const lengths = Array.from({ length: 30 }, (_, index) => index + 5)

test.each(lengths)('a sentence of %i words leaves no small rest, nor a short one before it', (words) => {
  for (const before of ['', 'It is 7. ']) {
    const made = chunks(before + sentence(words))
    const sizes = made.map(({ text }) => text.length)
    expect(made[0]?.text.startsWith(`${before}Here are word0`)).toBe(true)
    expect(Math.min(...sizes)).toBeGreaterThan(Math.max(...sizes) * 0.45)
  }
})

test('text without spaces or sentences is cut, never inside a character', () => {
  const made = chunks('𠮷'.repeat(400))
  expect(made.map(({ text }) => text).join('')).toBe('𠮷'.repeat(400))
  for (const { text } of made) expect(text.isWellFormed()).toBe(true)
})

test('with an overlap a chunk begins with the last sentences of the one before, within its limit', () => {
  const text = Array.from({ length: 30 }, (_, index) => `Sentence ${index} is here.`).join(' ')
  const made = chunks(text, { ...small, overlapTokens: 10 })
  expect(made.length).toBeGreaterThan(2)
  for (const [index, chunk] of made.entries()) {
    const before = made[index - 1]
    if (before !== undefined) expect(chunk.start).toBeLessThan(before.end)
    expect(estimate.tokens(chunk.embedText)).toBeLessThanOrEqual(small.maxTokens + 2)
  }
})

test('a changed sentence changes the hash of its own chunk only', () => {
  const text = (word: string): string =>
    Array.from({ length: 6 }, (_, index) => `# Part ${index}\n\nThis is ${index === 3 ? word : 'old'}.`).join('\n\n')
  const before = chunks(text('old')).map(({ hash }) => hash)
  const after = chunks(text('new')).map(({ hash }) => hash)
  expect(before.map((hash, index) => hash === after[index])).toEqual([true, true, true, false, true, true])
})

test('twenty megabytes in one line are cut in a few seconds, the first chunk at once', () => {
  const text = 'Some words and more of them '.repeat(750_000)
  const whole: ParsedDocument = {
    title: null,
    text,
    blocks: [{ kind: 'paragraph', start: 0, end: text.length, page: null, headings: [], level: null }],
    contentType: 'text/plain',
    pages: null,
    warnings: [],
  }
  const startMs = performance.now()
  let count = 0
  for (const { text: part } of chunkDocument(whole, {
    name: 'x',
    settings: { targetTokens: 200, maxTokens: 320, overlapTokens: 0 },
    estimate,
  }))
    count += part.length > 0 ? 1 : 0
  expect(count).toBeGreaterThan(20_000)
  expect(performance.now() - startMs).toBeLessThan(20_000)
})

test('estimates follow what an embedder counts, and take no notice of counts that cannot be of these texts', () => {
  const estimates = new TokenEstimates()
  const text = 'A sentence of some ten words is counted here again. '.repeat(20)
  const before = estimates.of('m').tokens(text)
  estimates.learn('m', [text], 3)
  estimates.learn('m', ['short'], 2)
  expect(estimates.of('m').tokens(text)).toBe(before)
  for (let round = 0; round < 60; round += 1) estimates.learn('m', [text], before * 2)
  expect(estimates.of('m').tokens(text)).toBeGreaterThan(before * 1.9)
  expect(estimates.of('m').tokens(text)).toBeLessThan(before * 2.2)
  expect(estimates.of('other').tokens(text)).toBe(before)
})
