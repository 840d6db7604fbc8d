// Names of documents that clients leave out, and keys by which they repeat themselves.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { pages } from '../../src/http/rag/answer-shapes.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'

let gateway: RagGateway
beforeAll(async () => {
  gateway = await startRagGateway()
  await gateway.collection('docs', {})
})
afterAll(() => gateway.close())

test('a page whose URL is too long for an id, or is none, has one that is made of it, the same each time', async () => {
  const long = `https://example.org/${'path/'.repeat(200)}page`
  const documentOf = async (body: object): Promise<string> => {
    const headers = { 'content-type': 'application/vnd.corral.url+json' }
    const given = await gateway.ask('POST', '/rag/collections/docs/documents', { body: JSON.stringify(body), headers })
    return pages.accepted.parse(mustBe(202, given).json).jobs[0]?.document ?? ''
  }
  const id = await documentOf({ url: long })
  expect(id).toMatch(/^https:\/\/example\.org\/(path\/)+.*~[0-9a-f]{32}$/)
  expect(id).toHaveLength(512)
  expect(await documentOf({ url: long })).toBe(id)
  expect(await documentOf({ url: `${long}2` })).not.toBe(id)
  expect(await documentOf({ url: 'https://example.org/a/../b' })).toMatch(/^page~[0-9a-f]{32}$/)
  expect(await documentOf({ url: long, id: 'own' })).toBe('own')
  expect(await documentOf({ url: 'https://example.org/short' })).toBe('https://example.org/short')
})

test('documents have idempotency keys of their own in each collection', async () => {
  const once = { 'idempotency-key': 'k-once' }
  const make = (name: string) => gateway.ask('POST', '/rag/collections', { body: { name }, headers: once })
  const give = (collection: string, body: string) =>
    gateway.ask('POST', `/rag/collections/${collection}/documents?id=keyed`, { body, headers: { 'content-type': 'text/plain', ...once } })
  expect((await make('keyed')).status).toBe(201)
  const given = [await give('docs', 'Words.'), await give('keyed', 'Words.'), await give('docs', 'Other words.'), await make('other')]
  expect(given.map(({ status }) => status)).toEqual([202, 202, 409, 409])
})
