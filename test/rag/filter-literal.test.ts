// Quotes, SQL and the signs of patterns in metadata and filters are data: each matches itself and nothing else, over HTTP on both stores.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

import { fieldCharactersMax } from '../../src/search/filter.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'

const kinds: readonly StoreKind[] = hasPostgres() ? ['embedded', 'postgres'] : ['embedded']

/** A filter's values have at most 1,000 characters, its fields 128; an index holds the first 250 of a value (`filter-candidates.ts`). */
const long = 'x'.repeat(999)
const longField = 'f'.repeat(fieldCharactersMax - 1)
const texts: Readonly<Record<string, string>> = {
  'a tautology': "' OR 1=1 --",
  'the end of a statement': '"; drop table rag_documents; --',
  'the end of a statement in a quote': "'); delete from rag_chunks where ('a'='a",
  'a percent sign': '%',
  'an underscore': '_',
  'a backslash': '\\',
  'an escaped quote': "\\'",
  'what a percent sign would match': '100 percent',
  'a percent sign in words': '100% wool',
  'what an underscore would match': 'aXb',
  'an underscore in words': 'a_b',
  'a parameter': '$1',
  'a cast': "x'::jsonb",
  'a jsonb path': '{$.*}',
  JSON: '{"note":"plain"}',
  'a line break': 'a\nb',
  'a longest text': `${long}a`,
  'another longest text': `${long}b`,
  'a plain word': 'plain',
}
const names = Object.keys(texts)
const fieldOf = (text: string): string => (text.startsWith(long) ? longField + text.at(-1) : text)

const page = z.object({ results: z.array(z.object({ document: z.object({ id: z.string() }) })) })

describeStores(kinds, (servers) => {
  let gateway: RagGateway
  beforeAll(async () => {
    gateway = await startRagGateway({ database: await servers.open() })
    await gateway.collection('docs', {})
    for (const [name, text] of Object.entries(texts)) {
      await gateway.put('docs', name, `Sheep number ${name}.`, { metadata: { note: text, list: [text], [fieldOf(text)]: 'here' } })
    }
  }, 120_000)
  afterAll(() => gateway.close())

  const search = (condition: object) =>
    gateway.ask('POST', '/rag/search', { body: { collection: 'docs', query: 'sheep', mode: 'keyword', limit: 50, filter: [condition] } })
  const found = async (condition: object): Promise<string[]> =>
    page
      .parse(mustBe(200, await search(condition)).json)
      .results.map(({ document }) => document.id)
      .toSorted()
  const but = (name: string): string[] => names.filter((other) => other !== name).toSorted()

  test.each(Object.entries(texts))('as a value %s matches itself alone', async (name, text) => {
    const holding = names.filter((other) => texts[other]?.toLowerCase().includes(text.toLowerCase())).toSorted()
    expect(await found({ field: 'note', op: 'eq', value: text })).toEqual([name])
    expect(await found({ field: 'note', op: 'ne', value: text })).toEqual(but(name))
    expect(await found({ field: 'note', op: 'in', values: [text, "' or true --"] })).toEqual([name])
    expect(await found({ field: 'note', op: 'contains', value: text })).toEqual(holding)
    expect(await found({ field: 'list', op: 'contains', value: text })).toEqual([name])
    expect(await found({ field: 'title', op: 'eq', value: text })).toEqual([])
  })

  test.each(Object.entries(texts))('as a field %s is the one of its document alone', async (name, text) => {
    const field = fieldOf(text)
    expect(await found({ field, op: 'exists', present: true })).toEqual([name])
    expect(await found({ field, op: 'exists', present: false })).toEqual(but(name))
    expect(await found({ field, op: 'eq', value: 'here' })).toEqual([name])
    expect(await found({ field, op: 'in', values: ['here'] })).toEqual([name])
    expect(await found({ field, op: 'contains', value: 'HER' })).toEqual([name])
    expect(await found({ field, op: 'range', from: 1 })).toEqual([])
  })

  test.each([
    ['U+0000 in a value', { field: 'note', op: 'eq', value: 'a\0b' }],
    ['U+0000 among values', { field: 'note', op: 'in', values: ['plain', '\0'] }],
    ['U+0000 in a part of a text', { field: 'note', op: 'contains', value: '\0' }],
    ['U+0000 in a field', { field: 'no\0te', op: 'exists', present: true }],
    ['half a character in a value', { field: 'note', op: 'eq', value: '\ud800' }],
    ['half a character in a field', { field: '\ud800', op: 'exists', present: true }],
    ['a value of 1,001 characters', { field: 'note', op: 'eq', value: `${long}ab` }],
    ['a field of 129 characters', { field: `${longField}ab`, op: 'exists', present: true }],
    ['a value that is an object', { field: 'note', op: 'eq', value: { $ne: '' } }],
    ['an operator that is SQL', { field: 'note', op: 'is not null or true --', value: 'a' }],
  ])('%s is refused', async (_, condition) => {
    const refused = await search(condition)
    expect([refused.status, refused.json['code']]).toEqual([400, 'invalid_request'])
  })

  test.each([
    ['U+0000 in a value', { note: 'a\0b' }],
    ['U+0000 in a field', { 'no\0te': 'a' }],
  ])('%s of metadata is refused', async (_, metadata) => {
    const query = new URLSearchParams({ id: 'bad', metadata: JSON.stringify(metadata) })
    const refused = await gateway.ask('POST', `/rag/collections/docs/documents?${query.toString()}`, { body: 'Sheep.' })
    expect([refused.status, refused.json['code']]).toEqual([400, 'invalid_request'])
  })

  test('every document is there at the end', async () => {
    expect(await found({ field: 'note', op: 'exists', present: true })).toEqual(names.toSorted())
  })
})
