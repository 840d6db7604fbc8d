// Uploads that are no good: each is told what is wrong with it, nothing of it stays, and the next one is taken.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'

import { requestBytes } from '../http/gateway.ts'
import { exchange, RawClient } from '../http/raw-client.ts'
import { makeDocx } from '../ingest/parse-made-zip.ts'
import { documentBytes } from '../ingest/parse-support.ts'
import { formOf, multipart } from './form-body.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'

const sourceBytesMax = 2_000_000

let gateway: RagGateway
let port: number
beforeAll(async () => {
  gateway = await startRagGateway({ config: { ingest: { sourceBytesMax, parsers: 1, chunksMax: 40 } } })
  port = Number(new URL(gateway.url).port)
  await gateway.collection('bad', {})
})
afterAll(() => gateway.close())
// Whatever came in, the process lives and takes the next document.
afterEach(() => gateway.put('bad', 'good.txt', `A good document of ${performance.now()}.`))

const base = '/rag/collections/bad/documents'

async function sources(): Promise<number> {
  const { rows } = await gateway.database.tx({ tenant: 'local' }, (transaction) =>
    transaction.query(`select count(*)::int as n from rag_sources where document <> 'good.txt'`),
  )
  return Number(rows[0]?.['n'])
}

const upload = (body: string | Buffer, headers: readonly string[], query = '') =>
  exchange(port, requestBytes('POST', base + query, { headers: [...headers], body }))

/** So many headings, each with a chunk of its own. */
const sections = (count: number): Buffer =>
  Buffer.from(Array.from({ length: count }, (_, index) => `# Part ${index}\n\nThe words of it.\n\n`).join(''))

const png = Buffer.concat([Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), Buffer.alloc(64)])

test.each([
  ['0 bytes', 'empty.txt', () => Buffer.alloc(0), 422, 'document_empty'],
  ['only white space', 'white.txt', () => Buffer.from(' \n\t\n'), 422, 'document_empty'],
  ['a picture by the name of a PDF', 'picture.pdf', () => png, 422, 'document_needs_ocr'],
  ['a program', 'tool.txt', () => Buffer.concat([Buffer.from('7f454c46', 'hex'), Buffer.alloc(200)]), 415, 'document_unsupported'],
  ['an encrypted PDF', 'password.pdf', () => documentBytes('password.pdf'), 422, 'document_encrypted'],
  ['a PDF that is one picture', 'scan.pdf', () => documentBytes('loremipsum-flat.pdf'), 422, 'document_needs_ocr'],
  ['half a PDF', 'half.pdf', () => documentBytes('multi_page.pdf').subarray(0, 600), 422, 'document_broken'],
  ['half a DOCX', 'half.docx', () => documentBytes('word_sample.docx').subarray(0, 5_000), 422, 'document_broken'],
  ['a text of too many chunks', 'many.md', () => sections(41), 413, 'document_too_large'],
  ['a zip bomb', 'bomb.docx', () => makeDocx('<w:p/>'.repeat(3_000_000)), 422, 'document_bomb'],
  [
    'a bomb of XML entities',
    'lol.xml',
    () => Buffer.from('<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><l>&b;</l>'),
    422,
    'document_broken',
  ],
])('%s: the job fails with the reason, and the waiting client is told', async (_, name, bytesOf, status, code) => {
  const body = Buffer.from(bytesOf())
  const answer = await gateway.ask('POST', `${base}?id=${name}&wait=true`, {
    body,
    headers: { 'content-type': 'application/octet-stream' },
  })
  expect([answer.status, answer.json['code']]).toEqual([status, code])
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(String(answer.json['detail'])).toMatch(new RegExp(`^${name.replace('.', String.raw`\.`)}: .{10}`))
  expect(answer.text).not.toMatch(/\.ts:|node_modules|\/tmp\//)
  const [job] = (await gateway.ask('GET', `/rag/jobs?document=${name}`)).json['jobs'] as { state: string; error: { code: string } }[]
  expect(job).toMatchObject({ state: 'failed', error: { code } })
  expect((await gateway.ask('GET', `${base}/${name}`)).json['code']).toBe('document_not_found')
})

test('a text of as many chunks as one may have is taken', async () => {
  mustBe(200, await gateway.ask('POST', `${base}?id=many.md&wait=true`, { body: sections(40) }))
})

test.each([
  ['a Markdown file called .pdf', 'notes.pdf', '# Title\n\nWords of it.', 'text/'],
  ['a page called .txt', 'page.txt', '<!doctype html><html><body><p>Words of it.</p><script>alert(1)</script></body></html>', 'text/html'],
])('%s is read as what it is', async (_, name, body, type) => {
  mustBe(200, await gateway.ask('POST', `${base}?id=${name}&wait=true`, { body }))
  const view = (await gateway.ask('GET', `${base}/${name}`)).json
  expect(view['contentType']).toContain(type)
  const text = await gateway.ask('GET', `${base}/${name}/text`)
  expect(text.text).toContain('Words of it.')
  expect(text.text).not.toContain('alert')
  expect(text.headers.get('content-type')).toBe('text/plain; charset=utf-8')
})

test.each([
  ['two gigabytes as one body', ['Content-Type: application/pdf', 'Content-Length: 2147483648']],
  ['two gigabytes as a form', [...multipart, 'Content-Length: 2147483648']],
])('%s are refused by their length', async (_, headers) => {
  const before = await sources()
  const answer = await exchange(port, requestBytes('POST', `${base}?id=huge`, { headers }))
  expect([answer.status, answer.closed]).toEqual([413, true])
  expect(JSON.parse(answer.body)).toMatchObject({ code: 'body_too_large', detail: expect.stringContaining('ingest.sourceBytesMax') })
  expect(await sources()).toBe(before)
})

test('a body of unknown length is cut where it is too long, and nothing of it stays', async () => {
  const before = await sources()
  const client = await RawClient.open(port)
  client.send(`POST ${base}?id=endless HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n`)
  const piece = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536, 'a'), Buffer.from('\r\n')])
  for (let sent = 0; sent < sourceBytesMax * 1.5; sent += 65_536) client.send(piece)
  const answer = await client.answer()
  expect([answer.status, JSON.parse(answer.body)]).toMatchObject([413, { code: 'body_too_large' }])
  client.destroy()
  expect(await sources()).toBe(before)
})

test('of several files the one that is too large is refused, and the client hears which were taken', async () => {
  const body = formOf([
    { head: 'name="f"; filename="small.txt"', body: 'A small one.' },
    { head: 'name="f"; filename="large.txt"', body: Buffer.alloc(sourceBytesMax + 1, 'x') },
  ])
  const answer = await upload(body, multipart)
  const jobs = (await gateway.ask('GET', '/rag/jobs?document=small.txt')).json['jobs'] as { id: string }[]
  expect([answer.status, JSON.parse(answer.body)]).toMatchObject([413, { detail: expect.stringContaining(`large.txt is over the limit`) }])
  expect(answer.body).toContain(jobs[0]?.id)
  expect((await gateway.ask('GET', '/rag/jobs?document=large.txt')).json['jobs']).toEqual([])
})

const file = { head: 'name="f"; filename="cut.txt"', body: 'Some words.' }

test.each<[string, string | Buffer, readonly string[]]>([
  ['no boundary', formOf([file]), ['Content-Type: multipart/form-data']],
  ['another boundary', formOf([file]), ['Content-Type: multipart/form-data; boundary=zzz']],
  ['a boundary of 10 KB', formOf([file]), [`Content-Type: multipart/form-data; boundary=${'b'.repeat(10_000)}`]],
  ['no end, in a file', formOf([file], '').subarray(0, -6), multipart],
  ['no end, after a file', formOf([file], ''), multipart],
  ['no end, in the head of a part', '--b\r\ncontent-disposition: form-data; name="f"; filen', multipart],
  ['no file', formOf([{ head: 'name="title"', body: 'x' }]), multipart],
  ['nothing', '', multipart],
  ['10,000 fields', formOf(Array.from({ length: 10_000 }, (_, index) => ({ head: `name="f${index}"`, body: 'x' }))), multipart],
  ['a type of its own', formOf([file]), ['Content-Type: multipart/mixed; boundary=b']],
])('a form with %s is refused as malformed, and nothing of it stays', async (_, body, headers) => {
  const before = await sources()
  const answer = await upload(body, headers)
  expect([answer.status, JSON.parse(answer.body)]).toMatchObject([400, { code: 'invalid_request' }])
  expect(await sources()).toBe(before)
  expect((await gateway.ask('GET', '/rag/jobs?document=cut.txt')).json['jobs']).toEqual([])
})

test('a form with too many files is refused, and told of those that were taken', async () => {
  const many = Array.from({ length: 101 }, (_, index) => ({ head: `name="f"; filename="many-${index}.txt"`, body: `Number ${index}.` }))
  const answer = await upload(formOf(many), multipart)
  expect([answer.status, JSON.parse(answer.body)]).toMatchObject([400, { detail: expect.stringContaining('at most 100 files') }])
})

test.each([
  ['../../etc/passwd', 'passwd'],
  [String.raw`C:\Users\me\report.txt`, 'report.txt'],
  ['/absolute/report.txt', 'report.txt'],
  ['a\u202Egpj.txt', 'agpj.txt'],
  ['a\0.pdf', 'a.pdf'],
  ['line\u2028break.txt', 'linebreak.txt'],
  // A path within the form is the id, its last part the name.
  ['<script>alert(1)</script>.txt', 'script>.txt', '<script>alert(1)</script>.txt'],
  ['CON', 'CON'],
  ['NUL.txt', 'NUL.txt'],
  ['com1:', 'com1:'],
  [`${'n'.repeat(5_000)}.txt`, 'n'.repeat(255)],
  ['日本語.txt', '日本語.txt'],
])('the file name %j is only a name', async (given, expected, id = expected) => {
  const body = formOf([{ head: `name="f"; filename="${given.replaceAll('\\', '\\\\')}"`, body: 'Words in a file.' }])
  const answer = await upload(body, multipart, '?wait=true')
  expect(answer.status).toBe(200)
  const [job] = (JSON.parse(answer.body) as { jobs: { name: string; document: string }[] }).jobs
  expect([job?.name, job?.document]).toEqual([expected, id])
  const path = `${base}/${encodeURIComponent(id)}`
  const source = await gateway.ask('GET', `${path}/source`)
  expect([source.status, source.text]).toEqual([200, 'Words in a file.'])
  expect(source.headers.get('content-disposition')).toMatch(/^attachment; filename\*=UTF-8''[\w.%~!$&+-]*$/)
  expect((await gateway.ask('DELETE', path)).status).toBe(204)
})

test.each(['..', '.', '', '/'])('a file called %j gets a name of its own', async (given) => {
  const body = formOf([{ head: `name="f"; filename="${given}"`, body: `Called ${given}.` }])
  const answer = await upload(body, [...multipart], '?wait=true')
  expect(answer.status).toBe(200)
  const [job] = (JSON.parse(answer.body) as { jobs: { document: string }[] }).jobs
  expect(job?.document).toMatch(/^[\w-]{8,}$/)
})

test.each<[string, (client: RawClient) => void]>([
  [
    'a body',
    (client) =>
      client.send(`POST ${base}?id=left HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1900000\r\n\r\n`),
  ],
  [
    'a body of unknown length',
    (client) =>
      client.send(
        `POST ${base}?id=left HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n10c8e0\r\n`,
      ),
  ],
  [
    'a file of a form',
    (client) =>
      client.send(
        `POST ${base}?id=left HTTP/1.1\r\nHost: localhost\r\n${multipart[0]}\r\nContent-Length: 1900000\r\n\r\n--b\r\ncontent-disposition: form-data; name="f"; filename="left.txt"\r\n\r\n`,
      ),
  ],
])('a client that leaves in the middle of %s leaves nothing behind', async (_, begin) => {
  const client = await RawClient.open(port)
  begin(client)
  client.send(Buffer.alloc(1_100_000, 'a'))
  const left = async (): Promise<number> => {
    const { rows } = await gateway.database.tx({ tenant: 'local' }, (transaction) =>
      transaction.query(
        `select count(*)::int as n from rag_sources s join rag_source_parts p on p.source = s.id where s.document = 'left'`,
      ),
    )
    return Number(rows[0]?.['n'])
  }
  await expect.poll(left, { timeout: 5_000 }).toBe(1)
  client.destroy()
  await expect
    .poll(
      async () => {
        const { rows } = await gateway.database.tx({ tenant: 'local' }, (transaction) =>
          transaction.query(`select count(*)::int as n from rag_sources where document = 'left'`),
        )
        return rows[0]?.['n']
      },
      { timeout: 5_000 },
    )
    .toBe(0)
  expect((await gateway.ask('GET', '/rag/jobs?document=left')).json['jobs']).toEqual([])
})

test('a collection that is deleted in the middle of an upload takes the upload with it', async () => {
  mustBe(201, await gateway.ask('POST', '/rag/collections', { body: { name: 'brief' } }))
  const client = await RawClient.open(port)
  client.send(
    'POST /rag/collections/brief/documents?id=x HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1900000\r\n\r\n',
  )
  client.send(Buffer.alloc(1_100_000, 'a'))
  await expect.poll(sourcesOfX, { timeout: 5_000 }).toBe(1)
  expect((await gateway.ask('DELETE', '/rag/collections/brief')).status).toBe(204)
  client.send(Buffer.alloc(800_000, 'a'))
  const answer = await client.answer()
  expect([answer.status, JSON.parse(answer.body)]).toMatchObject([409, { code: 'conflict', detail: expect.stringContaining('removed') }])
  client.destroy()
  expect(await sourcesOfX()).toBe(0)
})

async function sourcesOfX(): Promise<number> {
  const { rows } = await gateway.database.tx({ tenant: 'local' }, (transaction) =>
    transaction.query(`select count(*)::int as n from rag_source_parts p join rag_sources s on s.id = p.source where s.document = 'x'`),
  )
  return Number(rows[0]?.['n'])
}

test('a client that waits and leaves does not take its job with it', async () => {
  const client = await RawClient.open(port)
  client.send(requestBytes('POST', `${base}?id=patient&wait=true`, { headers: ['Content-Type: text/plain'], body: 'Words for later.' }))
  const jobsOf = async () => (await gateway.ask('GET', '/rag/jobs?document=patient')).json['jobs'] as { state: string }[]
  await expect.poll(async () => (await jobsOf()).length, { timeout: 5_000 }).toBe(1)
  client.destroy()
  await expect.poll(async () => (await jobsOf())[0]?.state, { timeout: 10_000 }).toBe('done')
})

test('a collection that is not there is told before the body is read', async () => {
  const headers = ['Content-Type: text/plain', 'Content-Length: 1000000']
  const answer = await exchange(port, requestBytes('POST', '/rag/collections/nosuch/documents', { headers }))
  expect([answer.status, answer.closed, JSON.parse(answer.body)]).toMatchObject([404, true, { code: 'collection_not_found' }])
})
