// `corral tune --judged` as a person runs it, against a whole gateway whose embedder is scripted to know the answers, or to know nothing.
import { join } from 'node:path'

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'

import { createFolder } from '../config/folder.ts'
import { mustBe, type RagGateway, startRagGateway } from '../rag/rag-gateway.ts'
import { corral, type Ended } from './corral.ts'

const things = ['anvil', 'bellows', 'chisel', 'drill', 'easel', 'file', 'gouge', 'hammer', 'jig', 'kiln', 'lathe', 'mallet']
const textOf = (thing: string | undefined): string => `Hall of the ${thing ?? ''}. It is open all day.`
const after = (at: number): string | undefined => things[(at + 1) % things.length]

let gateway: RagGateway

beforeAll(async () => {
  gateway = await startRagGateway()
  await gateway.collection('tools', Object.fromEntries(things.map((thing) => [`${thing}.md`, textOf(thing)])))
  mustBe(201, await gateway.ask('POST', '/rag/collections', { body: { name: 'words', settings: { embedder: null } } }))
})
afterAll(() => gateway.close())
beforeEach(async () => {
  gateway.fleet.embeds = true
  gateway.fleet.means = (text) => text
  mustBe(200, await gateway.ask('PATCH', '/rag/collections/tools', { body: { settings: { fusionWeight: 0.5 } } }))
})

const asked = (thing: string | undefined): string => `where is the ${thing ?? ''}`
/** Words lead to the right document, vectors to the one after. */
const wordsKnow = things.map((thing, at) => ({ query: asked(thing), means: textOf(after(at)), documents: [`${thing}.md`] }))
/** The other way about; the vectors of other queries are known already. */
const vectorsKnow = things.map((thing, at) => ({ query: `${asked(after(at))} then`, means: textOf(thing), documents: [`${thing}.md`] }))

function scriptFleet(queries: typeof wordsKnow): void {
  const meanings = new Map(queries.map(({ query, means }) => [`search_query: ${query}`, means]))
  gateway.fleet.means = (text) => meanings.get(text) ?? text
}

function tune(lines: readonly unknown[], ...args: readonly string[]): Promise<Ended> {
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n')
  const file = join(createFolder({ 'judged.jsonl': text }), 'judged.jsonl')
  return corral(['tune', 'tools', '--judged', file, '--url', gateway.url, ...args])
}

const learned = z.object({
  collection: z.literal('tools'),
  queries: z.literal(things.length),
  present: z.literal(0.5),
  weight: z.number(),
  ndcg: z.number(),
  crossValidatedLoss: z.number(),
  grid: z.array(z.object({ weight: z.number(), ndcg: z.number() })).length(21),
  applied: z.boolean(),
})

async function firstOf(query: string): Promise<unknown> {
  const { json } = mustBe(200, await gateway.ask('POST', '/rag/search', { body: { collection: 'tools', query } }))
  return z.object({ results: z.array(z.object({ document: z.object({ id: z.string() }) })) }).parse(json).results[0]?.document.id
}

async function weightNow(): Promise<unknown> {
  const { json } = mustBe(200, await gateway.ask('GET', '/rag/collections/tools'))
  return z.object({ settings: z.object({ fusionWeight: z.number() }) }).parse(json).settings.fusionWeight
}

test('where words know better the weight goes to them, and searches go by it once it is applied', async () => {
  scriptFleet(wordsKnow)
  const ended = await tune(wordsKnow, '--json', '--apply')
  expect(ended.code, ended.stderr).toBe(0)
  const { weight, ndcg, crossValidatedLoss, grid, applied } = learned.parse(JSON.parse(ended.stdout))
  expect([weight < 0.5, ndcg, applied, grid[0]?.ndcg]).toEqual([true, 1, true, 1])
  expect(grid[20]?.ndcg).toBeLessThan(0.7)
  expect(crossValidatedLoss).toBeLessThanOrEqual(0)
  expect(await weightNow()).toBe(weight)
  expect(await firstOf(asked('anvil'))).toBe('anvil.md')
})

test('where vectors know better it goes to the vectors', async () => {
  scriptFleet(vectorsKnow)
  const ended = await tune(vectorsKnow, '--json', '--apply')
  expect(ended.code, ended.stderr).toBe(0)
  const { weight, ndcg, crossValidatedLoss } = learned.parse(JSON.parse(ended.stdout))
  expect([weight > 0.5, ndcg]).toEqual([true, 1])
  expect(crossValidatedLoss).toBeLessThanOrEqual(0)
  expect(await firstOf(`${asked(after(0))} then`)).toBe('anvil.md')
})

test('a person reads the grid, what it is worth, and how to set it; nothing is set', async () => {
  scriptFleet(wordsKnow)
  const { code, stdout, stderr } = await tune(wordsKnow)
  expect([code, stdout.split('\n')[0]]).toEqual([0, expect.stringMatching(/^WEIGHT +nDCG@10$/)])
  expect(stdout).toMatch(/^0\.00 +1\.000 +words alone$/m)
  expect(stdout).toMatch(/^0\.\d\d +1\.000 +learned$/m)
  expect(stdout).toMatch(/^0\.50 +1\.000 +now$/m)
  expect(stdout).toMatch(/^1\.00 +0\.\d+ +vectors alone$/m)
  expect(stderr).toMatch(/^12 queries; on queries that it was not learned from such a weight is 0\.000 above the better leg alone$/m)
  expect(stderr).toContain('fewer than 20 queries')
  expect(stderr).toContain('--apply')
  expect(await weightNow()).toBe(0.5)
})

test('lines that cannot be used are told by their places, all of them, before anything is asked', async () => {
  const { code, stderr } = await tune([
    '{',
    '',
    { query: ' ', documents: ['a.md'] },
    { query: 'q' },
    { query: 'q', documents: [] },
    wordsKnow[0],
  ])
  expect([code, stderr.split('\n')[0]]).toEqual([2, expect.stringContaining('4 lines cannot be used')])
  expect(stderr).toMatch(/judged\.jsonl:1: no JSON: write one object a line, like \{"query"/)
  expect(stderr).toMatch(/judged\.jsonl:3: query: .*like \{"query"/)
  expect(stderr).toMatch(/judged\.jsonl:4: documents: /)
  expect(stderr).toMatch(/judged\.jsonl:5: documents: /)
})

test('a document that is not there is told by the line that names it', async () => {
  const { code, stderr } = await tune([wordsKnow[0], { query: 'q', documents: ['none.md'] }])
  expect([code, stderr]).toEqual([
    2,
    expect.stringMatching(/judged\.jsonl:2: collection tools has no document "none\.md": name it by its id/),
  ])
})

test('half a search teaches nothing', async () => {
  gateway.fleet.embeds = false
  const { code, stderr } = await tune([{ query: 'a question that nobody asked before', documents: ['anvil.md'] }], '--apply')
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/judged\.jsonl:1: nomic-embed-text:latest could not embed[^]*try again when the embedder is back/),
  ])
  expect(await weightNow()).toBe(0.5)
})

test.each([
  ['a file that is not there', ['tools', '--judged', 'none.jsonl'], 2, /--judged: cannot read none\.jsonl/],
  ['a tenant, which the key tells', ['tools', '--judged', 'none.jsonl', '--tenant', 'a'], 2, /--tenant: with --judged the key/],
  ['a gateway without queries', ['tools', '--url', 'http://127.0.0.1:1'], 2, /--url goes with --judged/],
] as const)('is refused: %s', async (_, args, code, words) => {
  const ended = await corral(['tune', ...args])
  expect([ended.code, ended.stderr]).toEqual([code, expect.stringMatching(words)])
})

test('a collection without an embedder has no weight', async () => {
  const file = join(createFolder({ 'judged.jsonl': JSON.stringify(wordsKnow[0]) }), 'judged.jsonl')
  const { code, stderr } = await corral(['tune', 'words', '--judged', file, '--url', gateway.url])
  expect([code, stderr]).toEqual([1, expect.stringMatching(/words is found by words only: it has no weight to learn[^]*--embedder MODEL/)])
})
