// Collections over HTTP: making, changing, emptying and removing them, as their owner and as somebody else.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { embedModel } from './scripted-fleet.ts'
import { requestBytes } from '../http/gateway.ts'
import { exchange } from '../http/raw-client.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { makeTenants } from './tenants.ts'

let gateway: RagGateway
let acme: string
let rival: string
let reader: string
beforeAll(async () => {
  gateway = await startRagGateway({ identity: { mode: 'keys' } })
  ;({ acme, rival, reader } = await makeTenants(gateway))
})
afterAll(() => gateway.close())

const made = (name: string, settings: object = {}, headers: Record<string, string> = {}) =>
  gateway.ask('POST', '/rag/collections', { key: acme, body: { name, settings }, headers })

async function rowsOf(table: string, tenant = 'acme'): Promise<number> {
  const { rows } = await gateway.database.tx({ tenant }, (transaction) => transaction.query(`select count(*)::int as n from ${table}`))
  return Number(rows[0]?.['n'])
}

test('a new collection has an address, a tag, and the settings of the gateway where it says none', async () => {
  const answer = mustBe(201, await made('handbook', { language: 'de', retentionDays: 30 }))
  expect(answer.headers.get('location')).toBe('/rag/collections/handbook')
  expect(answer.json).toMatchObject({ name: 'handbook', version: 1, documents: 0, chunks: 0 })
  expect(answer.json['settings']).toMatchObject({ language: 'de', retentionDays: 30, embedder: embedModel })
  const read = await gateway.ask('GET', '/rag/collections/handbook', { key: reader })
  expect(read.json).toEqual(answer.json)
  expect(read.headers.get('etag')).toBe(answer.headers.get('etag'))
  const again = await gateway.ask('GET', '/rag/collections/handbook', {
    key: reader,
    headers: { 'if-none-match': read.headers.get('etag') ?? '' },
  })
  expect([again.status, again.text]).toEqual([304, ''])
})

test.each([
  ['no name', {}, 'name'],
  ['capitals', { name: 'Handbook' }, 'small letters'],
  ['a path', { name: '../x' }, 'small letters'],
  ['a NUL', { name: 'a\0b' }, 'U+0000'],
  ['an unknown key', { name: 'x1', setings: {} }, 'setings'],
  ['an unknown setting', { name: 'x1', settings: { embeder: 'x' } }, 'embeder'],
  ['a language there is not', { name: 'x1', settings: { language: 'klingon' } }, 'language'],
  ['a weight beyond 1', { name: 'x1', settings: { fusionWeight: 2 } }, 'fusionWeight'],
  [
    'chunks that overlap themselves',
    { name: 'x1', settings: { chunking: { targetTokens: 9, maxTokens: 9, overlapTokens: 9 } } },
    'overlap',
  ],
  ['an embedder that no node has', { name: 'x1', settings: { embedder: 'nosuch' } }, 'corral models pull nosuch'],
])('refuses %s with what is wrong', async (_, body, told) => {
  const answer = await gateway.ask('POST', '/rag/collections', { key: acme, body })
  expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'application/problem+json'])
  expect(answer.json).toMatchObject({ status: 400, code: 'invalid_request' })
  expect(answer.json['instance']).toBe(`urn:corral:request:${answer.headers.get('x-request-id')}`)
  expect(answer.json['detail']).toContain(told)
})

test('a body that is no JSON is refused as such', async () => {
  const answer = await gateway.ask('POST', '/rag/collections', {
    key: acme,
    body: '{"name":',
    headers: { 'content-type': 'application/json' },
  })
  expect([answer.status, answer.json['detail']]).toEqual([400, 'the body is no JSON'])
})

test('a name is given once', async () => {
  mustBe(201, await made('once'))
  const answer = await made('once')
  expect([answer.status, answer.json['code']]).toEqual([409, 'conflict'])
  expect(answer.json['detail']).toContain('take another name')
})

test('collections are listed by name, a page at a time, each one once', async () => {
  const names = Array.from({ length: 7 }, (_, index) => `page-${index}`)
  for (const name of names) mustBe(201, await made(name))
  const seen: string[] = []
  let cursor = ''
  do {
    const page = mustBe(200, await gateway.ask('GET', `/rag/collections?limit=3${cursor}`, { key: reader }))
    const { collections, next } = page.json as { collections: { name: string }[]; next: string | null }
    expect(collections.length).toBeLessThanOrEqual(3)
    seen.push(...collections.map(({ name }) => name))
    cursor = next === null ? '' : `&cursor=${next}`
  } while (cursor !== '')
  expect(seen.filter((name) => name.startsWith('page-'))).toEqual(names)
  expect(new Set(seen).size).toBe(seen.length)
})

test.each(['cursor=x', 'cursor=W10', 'cursor=WyJhXHUwMDAwYiJd', 'limit=0', 'limit=1000', 'limit=x', 'limit=1.5'])(
  'refuses a page asked for with %s',
  async (query) => {
    for (const path of ['/rag/collections', '/rag/jobs', '/rag/collections/page-0/documents']) {
      const answer = await gateway.ask('GET', `${path}?${query}`, { key: reader })
      expect([path, answer.status, answer.json['code']]).toEqual([path, 400, 'invalid_request'])
    }
  },
)

test('settings change where the tag of the client is the present one', async () => {
  const before = mustBe(201, await made('changing'))
  const change = (fusionWeight: number, tag: string | null) =>
    gateway.ask('PATCH', '/rag/collections/changing', {
      key: acme,
      body: { settings: { fusionWeight } },
      headers: tag === null ? {} : { 'if-match': tag },
    })
  const tag = before.headers.get('etag')
  const changed = mustBe(200, await change(0.25, tag))
  expect(changed.json).toMatchObject({ version: 2, settings: { fusionWeight: 0.25, embedder: embedModel } })
  expect(changed.headers.get('etag')).not.toBe(tag)
  const late = await change(0.5, tag)
  expect([late.status, late.json['code']]).toEqual([412, 'precondition_failed'])
  mustBe(200, await change(0.5, '*'))
  mustBe(200, await change(0.75, null))
  const stale = await gateway.ask('DELETE', '/rag/collections/changing', { key: acme, headers: { 'if-match': tag ?? '' } })
  expect(stale.status).toBe(412)
  expect((await change(7, null)).json['detail']).toContain('fusionWeight')
})

test('purging keeps the collection and nothing of what was in it', async () => {
  await gateway.collection('emptied', { a: 'The first text is here.', b: 'The second text is here.' }, { key: acme })
  const source = mustBe(200, await gateway.ask('GET', '/rag/collections/emptied/documents/a/source', { key: reader }))
  expect(source.text).toBe('The first text is here.')
  const late = await gateway.ask('POST', '/rag/collections/emptied/purge', { key: acme, headers: { 'if-match': '"another"' } })
  expect([late.status, await rowsOf('rag_documents')]).toEqual([412, 2])
  const emptied = mustBe(200, await gateway.ask('POST', '/rag/collections/emptied/purge', { key: acme }))
  expect(emptied.json).toMatchObject({ name: 'emptied', documents: 0, chunks: 0 })
  expect((await gateway.ask('GET', '/rag/collections/emptied/documents', { key: reader })).json).toEqual({ documents: [], next: null })
  expect(await Promise.all(['rag_documents', 'rag_chunks', 'rag_sources', 'rag_source_parts'].map((table) => rowsOf(table)))).toEqual([
    0, 0, 0, 0,
  ])
  await gateway.put('emptied', 'a', 'The first text is back.', { key: acme })
  expect((await gateway.ask('GET', '/rag/collections/emptied', { key: reader })).json).toMatchObject({ documents: 1 })
})

test('deleting a collection leaves no row of it, and another of its name begins empty', async () => {
  await gateway.collection('gone', { a: 'Something to be forgotten.' }, { key: acme })
  const before = await Promise.all(['rag_documents', 'rag_sources', 'rag_jobs'].map((table) => rowsOf(table)))
  const gone = await gateway.ask('DELETE', '/rag/collections/gone', { key: acme })
  expect([gone.status, gone.text]).toEqual([204, ''])
  const after = await Promise.all(['rag_documents', 'rag_sources', 'rag_jobs'].map((table) => rowsOf(table)))
  expect(after).toEqual(before.map((rows) => rows - 1))
  expect((await gateway.ask('GET', '/rag/collections/gone', { key: reader })).json['code']).toBe('collection_not_found')
  expect((await gateway.ask('DELETE', '/rag/collections/gone', { key: acme })).status).toBe(404)
  mustBe(201, await made('gone'))
  expect((await gateway.ask('GET', '/rag/collections/gone/documents', { key: reader })).json).toEqual({ documents: [], next: null })
})

test('what one tenant has, another finds nothing of, by any route', async () => {
  await gateway.collection('private', { a: 'A secret of acme.' }, { key: acme })
  const job = ((await gateway.ask('GET', '/rag/jobs?collection=private', { key: acme })).json['jobs'] as { id: string }[])[0]?.id ?? ''
  const base = '/rag/collections/private'
  const tries = [
    ['GET', base],
    ['PATCH', base],
    ['DELETE', base],
    ['POST', `${base}/purge`],
    ['POST', `${base}/reingest`],
    ['POST', `${base}/retry-failed`],
    ['GET', `${base}/documents`],
    ['POST', `${base}/documents?id=a`],
    ['GET', `${base}/documents/a`],
    ['GET', `${base}/documents/a/text`],
    ['GET', `${base}/documents/a/source`],
    ['POST', `${base}/documents/a/reingest`],
    ['DELETE', `${base}/documents/a`],
    ['GET', '/rag/jobs?collection=private'],
    ['GET', `/rag/jobs/${job}`],
    ...['pause', 'resume', 'cancel', 'retry'].map((action) => ['POST', `/rag/jobs/${job}/${action}`]),
  ]
  for (const [method = '', path = ''] of tries) {
    const body = method === 'GET' || method === 'DELETE' ? {} : { body: { settings: {} } }
    const answer = await gateway.ask(method, path, { key: rival, ...body })
    expect([method, path, answer.status]).toEqual([method, path, 404])
    expect(answer.text).not.toContain('secret')
  }
  expect((await gateway.ask('GET', '/rag/collections', { key: rival })).json).toEqual({ collections: [], next: null })
  expect((await gateway.ask('GET', '/rag/jobs', { key: rival })).json['jobs']).toEqual([])
  expect((await gateway.ask('GET', `${base}/documents/a/text`, { key: acme })).text).toContain('A secret of acme.')
  mustBe(201, await gateway.ask('POST', '/rag/collections', { key: rival, body: { name: 'private' } }))
})

test.each([
  ['POST', '/rag/collections'],
  ['PATCH', '/rag/collections/handbook'],
  ['POST', '/rag/collections/handbook/purge'],
  ['POST', '/rag/collections/handbook/documents?id=a'],
  ['DELETE', '/rag/collections/handbook'],
])('a reader may not %s %s', async (method, path) => {
  const body = method === 'DELETE' ? {} : { body: { name: 'x', settings: {} } }
  expect((await gateway.ask(method, path, { key: reader, ...body })).status).toBe(403)
  expect((await gateway.ask(method, path, body)).status).toBe(401)
})

test('the same request with the same key makes one collection, and tells of it twice', async () => {
  const headers = { 'idempotency-key': 'make-1' }
  const [first, second] = [mustBe(201, await made('safely', {}, headers)), mustBe(201, await made('safely', {}, headers))]
  expect(second.text).toBe(first.text)
  expect(second.headers.get('etag')).toBe(first.headers.get('etag'))
  const other = await made('safely-2', {}, headers)
  expect([other.status, other.json['code']]).toEqual([409, 'conflict'])
  expect((await gateway.ask('GET', '/rag/collections/safely-2', { key: reader })).status).toBe(404)
  expect((await made('keyless', {}, { 'idempotency-key': 'k'.repeat(300) })).status).toBe(400)
  // A key belongs to its tenant, and the answer to who asked.
  const colleague = await gateway.key({ tenant: 'acme', scopes: ['rag:write'] })
  const theirs = await gateway.ask('POST', '/rag/collections', { key: colleague, body: { name: 'safely', settings: {} }, headers })
  expect([theirs.status, theirs.json['code']]).toEqual([409, 'conflict'])
  mustBe(201, await gateway.ask('POST', '/rag/collections', { key: rival, body: { name: 'theirs' }, headers }))
})

test('a request that failed leaves its key free', async () => {
  const headers = { 'idempotency-key': 'fails-first' }
  expect((await made('Bad Name', {}, headers)).status).toBe(400)
  mustBe(201, await made('good-name', {}, headers))
})

test('a foreign page cannot make a change with a form', async () => {
  const headers = { origin: 'http://localhost:9999', 'content-type': 'text/plain' }
  const answer = await gateway.ask('POST', '/rag/collections', { key: acme, body: '{"name":"csrf"}', headers })
  expect([answer.status, answer.json['code']]).toEqual([403, 'origin_refused'])
  const form = { ...headers, 'content-type': 'multipart/form-data; boundary=x' }
  const file = '--x\r\ncontent-disposition: form-data; name="f"; filename="a.txt"\r\n\r\nhello\r\n--x--\r\n'
  expect((await gateway.ask('POST', '/rag/collections/handbook/documents', { key: acme, body: file, headers: form })).status).toBe(403)
  expect((await gateway.ask('POST', '/rag/collections/handbook/documents?id=x', { key: acme, body: 'hi', headers })).status).toBe(403)
})

test.each(['/rag', '/rag/', '/rag/nosuch', '/rag/collections/a%00b', '/rag/jobs/a%00b', '/rag/jobs/%2e%2e', '/rag/%2e%2e/admin/fleet'])(
  '%s is not there',
  async (path) => {
    const headers = [`Authorization: Bearer ${acme}`]
    const { status } = await exchange(Number(new URL(gateway.url).port), requestBytes('GET', path, { headers }))
    expect(status).toBe(404)
  },
)
