// Documents over HTTP: given as a raw body, as a form, by URL; read, made again, removed.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

import { formOf } from './form-body.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { makeTenants } from './tenants.ts'

interface JobView {
  readonly id: string
  readonly document: string
  readonly state: string
  readonly name: string
  readonly outcome: string | null
  readonly error: { readonly code: string; readonly message: string } | null
}

let gateway: RagGateway
let key: string
let web: Server
beforeAll(async () => {
  gateway = await startRagGateway({ identity: { mode: 'keys' } })
  key = (await makeTenants(gateway)).acme
  await gateway.collection('docs', {}, { key })
  web = createServer((_, outgoing) => void outgoing.end('<h1>Not to be seen</h1>'))
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  web.close()
  await gateway.close()
})

const base = '/rag/collections/docs/documents'
const get = (path: string, headers: Record<string, string> = {}) => gateway.ask('GET', path, { key, headers })
const raw = (query: string, body: string | Buffer, headers: Record<string, string> = {}) =>
  gateway.ask('POST', `${base}?${query}`, { key, body, headers: { 'content-type': 'text/plain', ...headers } })

function jobsOf(answer: { readonly json: Readonly<Record<string, unknown>> }): JobView[] {
  return answer.json['jobs'] as JobView[]
}

async function form(parts: readonly (readonly [string, string | File])[], query = '', headers: Record<string, string> = {}) {
  const data = new FormData()
  for (const [name, value] of parts) data.append(name, value)
  const request = new Request('http://x/', { method: 'POST', body: data })
  const type = request.headers.get('content-type') ?? ''
  const body = Buffer.from(await request.arrayBuffer())
  return gateway.ask('POST', `${base}${query}`, { key, body, headers: { 'content-type': type, ...headers } })
}

test.each([
  ['the title that was given', 'id=led/a.md&title=Given+title', '---\ntitle: Own title\n---\n# Tin\n\nAlpha melts.', 'Given title › Tin'],
  ["the document's own", 'id=led/b.md', '---\ntitle: Own title\n---\n# Tin\n\nBeta melts.', 'Own title › Tin'],
  ['the name of its file, where it has none,', 'id=led/c.md', '## Tin\n\nGamma melts.', 'c.md › Tin'],
])('%s stands before the heading path of what is embedded', async (_, query, text, lead) => {
  mustBe(200, await raw(`${query}&wait=true`, text, { 'content-type': 'text/markdown' }))
  const melts = text.slice(text.lastIndexOf('\n') + 1)
  expect(gateway.fleet.embedded.filter((embedded) => embedded.includes(melts))).toEqual([
    expect.stringMatching(`^search_document: ${lead}\n`),
  ])
  const { title } = (await get(`${base}/${encodeURIComponent(new URLSearchParams(query).get('id') ?? '')}`)).json
  expect(title).toBe(lead.slice(0, lead.indexOf(' ›')))
})

test('a raw body becomes a document, told of as a job, then found by its id', async () => {
  const answer = mustBe(
    202,
    await raw('id=notes&title=My+notes&uri=https%3A%2F%2Fexample.org%2Fn&metadata={"team":"ops","year":2026}', 'One. Two.'),
  )
  const [job] = jobsOf(answer)
  expect(job).toMatchObject({ document: 'notes', collection: 'docs', kind: 'upload', name: 'notes' })
  expect(answer.headers.get('location')).toBe(`/rag/jobs/${job?.id}`)
  expect(jobsOf(mustBe(200, await raw('id=notes-2&wait=true', 'Three.')))[0]).toMatchObject({ state: 'done', outcome: 'written' })
  // Of one collection documents are written in turn, so the first is there too.
  await gateway.ask('GET', `/rag/jobs/${job?.id}`, { key, headers: { accept: 'text/event-stream' } })
  const read = mustBe(200, await get(`${base}/notes`))
  expect(read.json).toMatchObject({
    id: 'notes',
    title: 'My notes',
    uri: 'https://example.org/n',
    metadata: { team: 'ops', year: 2026 },
    sizeBytes: 9,
    chunks: 1,
    revision: 1,
    warnings: [],
  })
  const [text, source] = [await get(`${base}/notes/text`), await get(`${base}/notes/source`)]
  expect([text.text, source.text]).toEqual(['One. Two.', 'One. Two.'])
  for (const { headers } of [text, source]) {
    expect(headers.get('content-disposition')).toMatch(/^attachment; filename\*=UTF-8''/)
    expect([headers.get('x-content-type-options'), headers.get('content-security-policy')]).toEqual([
      'nosniff',
      "default-src 'none'; sandbox",
    ])
  }
})

test('a document has a tag that changes with it', async () => {
  mustBe(200, await raw('id=tagged&wait=true', 'First words.'))
  const first = await get(`${base}/tagged`)
  const tag = first.headers.get('etag') ?? ''
  const sameText = await get(`${base}/tagged/text`, { 'if-none-match': tag })
  expect([(await get(`${base}/tagged`, { 'if-none-match': tag })).status, sameText.status, sameText.text]).toEqual([304, 304, ''])
  mustBe(200, await raw('id=tagged&wait=true', 'Second words.'))
  const second = await get(`${base}/tagged`, { 'if-none-match': tag })
  expect([second.status, second.json['revision']]).toEqual([200, 2])
  expect((await get(`${base}/tagged/text`, { 'if-none-match': tag })).text).toBe('Second words.')
  const stale = await gateway.ask('DELETE', `${base}/tagged`, { key, headers: { 'if-match': tag } })
  expect([stale.status, stale.json['code']]).toEqual([412, 'precondition_failed'])
  const fresh = { 'if-match': second.headers.get('etag') ?? '' }
  expect((await gateway.ask('DELETE', `${base}/tagged`, { key, headers: fresh })).status).toBe(204)
  for (const path of ['', '/text', '/source']) expect((await get(`${base}/tagged${path}`)).json['code']).toBe('document_not_found')
  expect((await gateway.ask('DELETE', `${base}/tagged`, { key })).status).toBe(404)
})

test('bytes that cannot be read take no place: the document keeps its own, and what only failed can be deleted', async () => {
  mustBe(200, await raw('id=stays&wait=true', 'Readable.'))
  const broken = Buffer.from('%PDF-1.7\nbroken')
  for (const id of ['stays', 'never']) {
    expect((await raw(`id=${id}&wait=true`, broken)).json['code']).toBe('document_broken')
  }
  expect((await get(`${base}/stays/source`)).text).toBe('Readable.')
  expect(jobsOf(mustBe(200, await gateway.ask('POST', `${base}/stays/reingest?wait=true`, { key })))[0]).toMatchObject({
    outcome: 'written',
  })
  const matched = await gateway.ask('DELETE', `${base}/never`, { key, headers: { 'if-match': '"any"' } })
  expect([matched.status, matched.json['code']]).toEqual([404, 'document_not_found'])
  expect((await gateway.ask('DELETE', `${base}/never`, { key })).status).toBe(204)
  expect(jobsOf(await get('/rag/jobs?document=never'))).toEqual([])
  expect((await gateway.ask('DELETE', `${base}/never`, { key })).status).toBe(404)
})

test('a form brings several files, each a job, with the fields before them', async () => {
  const answer = await form(
    [
      ['metadata', '{"from":"form"}'],
      ['file', new File(['# Alpha\n\nThe first file.'], 'alpha.md', { type: 'text/markdown' })],
      ['file', new File(['The second file.'], 'beta.txt', { type: 'text/plain' })],
    ],
    '?wait=true',
  )
  expect(jobsOf(mustBe(200, answer)).map(({ document, state }) => [document, state])).toEqual([
    ['alpha.md', 'done'],
    ['beta.txt', 'done'],
  ])
  expect((await get(`${base}/alpha.md`)).json).toMatchObject({ title: 'Alpha', metadata: { from: 'form' } })
  expect((await get(`${base}/beta.txt`)).json).toMatchObject({ metadata: { from: 'form' } })
  const named = await form([['file', new File(['Mine.'], 'theirs.txt')]], '?id=mine/at home.txt&wait=true')
  expect(jobsOf(mustBe(200, named))[0]).toMatchObject({ document: 'mine/at home.txt', name: 'theirs.txt' })
})

const filesOf = (...files: readonly (readonly [string, string])[]) =>
  formOf(files.map(([filename, body]) => ({ head: `name="file"; filename="${filename}"`, body })))

test('files of one name in different folders are documents of their own, by their paths', async () => {
  const body = filesOf(
    ['alpha/README.md', 'Of alpha.'],
    ['./beta\\README.md', 'Of beta.'],
    ['/home/me/rooted.md', 'Rooted.'],
    ['../up.md', 'Up.'],
  )
  const answer = await gateway.ask('POST', `${base}?wait=true`, {
    key,
    body,
    headers: { 'content-type': 'multipart/form-data; boundary=b' },
  })
  expect(jobsOf(mustBe(200, answer)).map(({ document, name, state }) => [document, name, state])).toEqual([
    ['alpha/README.md', 'README.md', 'done'],
    ['beta/README.md', 'README.md', 'done'],
    ['rooted.md', 'rooted.md', 'done'],
    ['up.md', 'up.md', 'done'],
  ])
})

test('the second file of one id in a form is refused by its job, and the first one stays', async () => {
  const body = filesOf(['twin.md', 'The first twin.'], ['twin.md', 'The second twin.'], ['other.md', 'The other.'])
  const answer = await gateway.ask('POST', `${base}?wait=true`, {
    key,
    body,
    headers: { 'content-type': 'multipart/form-data; boundary=b' },
  })
  const jobs = jobsOf(mustBe(200, answer))
  expect(jobs.map(({ document, state }) => [document, state])).toEqual([
    ['twin.md', 'done'],
    ['twin.md', 'failed'],
    ['other.md', 'done'],
  ])
  expect(jobs[1]?.error).toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('another file of the same request has this id'),
  })
  expect((await get(`${base}/twin.md/text`)).text).toContain('The first twin.')
})

test('a field of a form holds for the files behind it, not for those before it', async () => {
  const answer = await form(
    [
      ['title', 'Before both'],
      ['file', new File(['The earlier file.'], 'earlier.txt')],
      ['title', 'Between'],
      ['file', new File(['The later file.'], 'later.txt')],
      ['title', 'Behind both'],
    ],
    '?wait=true',
  )
  mustBe(200, answer)
  expect((await get(`${base}/earlier.txt`)).json).toMatchObject({ title: 'Before both' })
  expect((await get(`${base}/later.txt`)).json).toMatchObject({ title: 'Between' })
})

test.each([
  'a/b/c.md',
  'ünï cödé',
  '文書',
  'q?x=1&y=2#z',
  '100%',
  'https://example.org/a?b=c',
  "it's (a) *star*",
  '%2F',
  '..a',
  'a..b',
  '+plus+',
])('the id %s names its document in a path', async (id) => {
  mustBe(200, await raw(`id=${encodeURIComponent(id)}&wait=true`, `The text of ${id}.`))
  const path = `${base}/${encodeURIComponent(id)}`
  expect((await get(path)).json).toMatchObject({ id })
  expect((await get(`${path}/text`)).text).toBe(`The text of ${id}.`)
  expect((await gateway.ask('DELETE', path, { key })).status).toBe(204)
  expect((await get(path)).status).toBe(404)
})

test.each(['..', '.', 'a/../b', '../x', 'a\\b', 'a\0b', 'a\nb', 'x'.repeat(513)])('the id %j is refused', async (id) => {
  const answer = await raw(`id=${encodeURIComponent(id)}`, 'x')
  expect([answer.status, answer.json['code']]).toEqual([400, 'invalid_request'])
  expect(answer.json['detail']).toContain('id: 1 to 512 characters')
})

test.each([
  ['metadata=x', 'flat JSON object'],
  ['metadata=[1]', 'flat JSON object'],
  ['metadata={"a":{"b":1}}', 'flat JSON object'],
  [`metadata=${encodeURIComponent('{"a":"\\u0000"}')}`, 'U+0000'],
  [`metadata=${encodeURIComponent('{"a":"\\ud800"}')}`, 'half a character'],
  ['title=a%00b', 'NUL'],
  ['uri=a%00b', 'NUL'],
])('%s is refused, and nothing is kept', async (query, told) => {
  const answer = await raw(`id=refused&${query}`, 'x')
  expect([answer.status, answer.json['code']]).toEqual([400, 'invalid_request'])
  expect(answer.json['detail']).toContain(told)
  expect((await get('/rag/jobs?document=refused')).json['jobs']).toEqual([])
})

test('metadata of 256 fields is taken in every way, and of more in none', async () => {
  const fields = (length: number): Record<string, number> => Object.fromEntries(Array.from({ length }, (_, index) => [`f${index}`, index]))
  const ways = {
    raw: (metadata: object) => raw(`id=wide-raw&wait=true&metadata=${encodeURIComponent(JSON.stringify(metadata))}`, 'x'),
    form: (metadata: object) =>
      form(
        [
          ['id', 'wide-form'],
          ['metadata', JSON.stringify(metadata)],
          ['file', new File(['x'], 'x.txt')],
        ],
        '?wait=true',
      ),
    // Taken in; its job then finds that it may not fetch from there.
    url: (metadata: object) => byUrl({ url: 'http://10.0.0.1/', id: 'wide-url', metadata }),
  }
  for (const [way, give] of Object.entries(ways)) {
    const refused = await give(fields(257))
    expect([refused.status, refused.json['code'], refused.json['detail']]).toEqual([
      400,
      'invalid_request',
      expect.stringMatching(/metadata.*: more than 256 fields/),
    ])
    expect((await get(`/rag/jobs?document=wide-${way}`)).json['jobs']).toEqual([])
    expect([200, 202]).toContain((await give(fields(256))).status)
  }
  expect((await get(`${base}/wide-raw`)).json['metadata']).toEqual(fields(256))
  const { json } = await gateway.ask('GET', '/rag/openapi.json')
  expect(JSON.stringify(json)).toContain('"maxProperties":256')
})

test('documents are listed by id, a page at a time', async () => {
  await gateway.collection('listed', Object.fromEntries(['b', 'a', 'ä', 'B', 'a/1'].map((id) => [id, `Of ${id}.`])), { key })
  const seen: string[] = []
  let cursor = ''
  do {
    const page = mustBe(200, await get(`/rag/collections/listed/documents?limit=2${cursor}`))
    const { documents, next } = page.json as { documents: { id: string }[]; next: string | null }
    seen.push(...documents.map(({ id }) => id))
    cursor = next === null ? '' : `&cursor=${next}`
  } while (cursor !== '')
  expect(seen).toEqual(['B', 'a', 'a/1', 'b', 'ä'])
})

test('a document is made again from its bytes by present settings', async () => {
  mustBe(200, await raw('id=again&title=Kept&metadata={"k":1}&wait=true', 'Sentences. '.repeat(200)))
  const before = await get(`${base}/again`)
  const chunking = { targetTokens: 20, maxTokens: 40, overlapTokens: 0 }
  mustBe(200, await gateway.ask('PATCH', '/rag/collections/docs', { key, body: { settings: { chunking } } }))
  const job = jobsOf(mustBe(200, await gateway.ask('POST', `${base}/again/reingest?wait=true`, { key })))[0]
  expect(job).toMatchObject({ kind: 'reingest', state: 'done', document: 'again' })
  const after = await get(`${base}/again`)
  expect(Number(after.json['chunks'])).toBeGreaterThan(Number(before.json['chunks']))
  expect(after.json).toMatchObject({ title: 'Kept', metadata: { k: 1 } })
  expect((await gateway.ask('POST', `${base}/nosuch/reingest`, { key })).json['code']).toBe('document_not_found')
})

test('the same upload with the same key is one job, another is refused', async () => {
  const headers = { 'idempotency-key': 'upload-1' }
  const [first, second] = [await raw('id=once', 'Once.', headers), await raw('id=once', 'Once.', headers)]
  expect(jobsOf(second)[0]?.id).toBe(jobsOf(first)[0]?.id)
  expect(jobsOf(await get('/rag/jobs?document=once'))).toHaveLength(1)
  const other = await raw('id=once', 'Twice.', headers)
  expect([other.status, other.json['code']]).toEqual([409, 'conflict'])
  // Of a body without any name too.
  const bare = { 'idempotency-key': 'upload-2' }
  const [bare1, bare2] = [await raw('', 'Nameless.', bare), await raw('', 'Nameless.', bare)]
  expect(jobsOf(bare2)[0]?.id).toBe(jobsOf(bare1)[0]?.id)
  const files = [
    ['file', new File(['One.'], 'k1.txt')],
    ['file', new File(['Two.'], 'k2.txt')],
  ] as const
  const several = { 'idempotency-key': 'upload-3' }
  const [form1, form2] = [await form(files, '', several), await form(files, '', several)]
  expect(jobsOf(mustBe(202, form2)).map(({ id }) => id)).toEqual(jobsOf(mustBe(202, form1)).map(({ id }) => id))
})

test('bytes that are there already are not written again', async () => {
  mustBe(200, await raw('id=original&wait=true', 'Words that stand here once.'))
  const copy = mustBe(200, await raw('id=copy&wait=true&skipDuplicates=true', 'Words that stand here once.'))
  expect(jobsOf(copy)[0]).toMatchObject({ state: 'done', outcome: 'duplicate', duplicateOf: 'original' })
  const same = mustBe(200, await raw('id=original&wait=true', 'Words that stand here once.'))
  expect(jobsOf(same)[0]).toMatchObject({ state: 'done', outcome: 'unchanged' })
})

test('a JSON file is a document, not a request', async () => {
  const answer = await raw('id=data.json&wait=true', '{"url":"https://example.org","n":1}', { 'content-type': 'application/json' })
  expect(jobsOf(mustBe(200, answer))[0]).toMatchObject({ kind: 'upload', state: 'done' })
  expect((await get(`${base}/data.json/source`)).text).toBe('{"url":"https://example.org","n":1}')
})

const byUrl = (body: object | string, query = '') =>
  gateway.ask('POST', `${base}${query}`, {
    key,
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/vnd.corral.url+json' },
  })

test.each([
  ['loopback', () => `http://127.0.0.1:${(web.address() as AddressInfo).port}/`],
  ['loopback by another name', () => 'http://2130706433/'],
  ['the metadata service', () => 'http://169.254.169.254/latest/meta-data/'],
  ['a private network', () => 'http://10.0.0.1/'],
  ['IPv6 loopback', () => 'http://[::1]/'],
  ['IPv4 inside IPv6', () => 'http://[::ffff:127.0.0.1]/'],
  ['a port of another service', () => 'http://example.org:22/'],
  ['credentials', () => 'http://user:secret@example.org/'],
])('a URL of %s is not fetched', async (_, urlOf) => {
  const answer = await byUrl({ url: urlOf() }, '?wait=true')
  expect([answer.status, answer.json['code']]).toEqual([400, 'url_not_allowed'])
})

test('of a URL with credentials nothing is kept', async () => {
  const answer = await byUrl({ url: 'http://user:pa55word@example.org/', id: 'told' })
  expect([answer.status, answer.text]).toEqual([400, expect.not.stringContaining('pa55word')])
  expect((await get('/rag/jobs?document=told')).json['jobs']).toEqual([])
})

test('where documents by URL are switched off, that is told at once', async () => {
  const plain = await startRagGateway({ config: { ingest: { urls: false } } })
  onTestFinished(() => plain.close())
  await plain.collection('docs', {})
  const headers = { 'content-type': 'application/vnd.corral.url+json' }
  const answer = await plain.ask('POST', base, { body: JSON.stringify({ url: 'https://example.org/' }), headers })
  expect([answer.status, answer.json['code'], answer.json['detail']]).toEqual([
    403,
    'operation_disabled',
    expect.stringContaining('ingest.urls'),
  ])
})

test.each([
  [{ url: 'file:///etc/passwd' }, 'url_not_allowed'],
  [{ url: 'gopher://example.org/' }, 'url_not_allowed'],
  [{ url: 'no url' }, 'url_not_allowed'],
  [{}, 'invalid_request'],
  [{ url: 'https://example.org/', extra: 1 }, 'invalid_request'],
  [{ url: 'https://example.org/', metadata: { a: { b: 1 } } }, 'invalid_request'],
  ['no JSON', 'invalid_request'],
])('%j is no document by URL', async (body, code) => {
  const answer = await byUrl(body)
  expect([answer.status, answer.json['code']]).toEqual([400, code])
})
