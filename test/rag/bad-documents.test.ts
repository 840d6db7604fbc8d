// Documents that are no good, in one upload with good ones: each is told what is wrong with it and what to do; the good ones are there.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

import { requestBytes } from '../http/gateway.ts'
import { exchange } from '../http/raw-client.ts'
import { cyclicPdf } from '../ingest/parse-made-pdf.ts'
import { makeDocx, officeFormats } from '../ingest/parse-made-zip.ts'
import { documentBytes } from '../ingest/parse-support.ts'
import { formOf, multipart } from './form-body.ts'
import { type RagGateway, startRagGateway } from './rag-gateway.ts'

let gateway: RagGateway
beforeAll(async () => {
  gateway = await startRagGateway({ config: { ingest: { parsers: 1 } } })
  await gateway.collection('mixed', {})
})
afterAll(() => gateway.close())

interface BadDocument {
  readonly file: string
  readonly bytes: string | Uint8Array
  readonly code: string
  /** What the message or the hint tells to do. */
  readonly advice: RegExp
  readonly type?: string
}

const nested = '--c\r\ncontent-disposition: file; filename="inner.txt"\r\n\r\nWords of the inner file.\r\n--c--\r\n'
const nestedType = 'multipart/mixed; boundary=c'

const bad: readonly BadDocument[] = [
  { file: 'circle.pdf', bytes: cyclicPdf(0, 2_000), code: 'document_broken', advice: /save it anew/ },
  { file: 'password.pdf', bytes: documentBytes('password.pdf'), code: 'document_encrypted', advice: /without (a password|one)/ },
  { file: 'half.pdf', bytes: documentBytes('multi_page.pdf').subarray(0, 600), code: 'document_broken', advice: /save it anew/ },
  { file: 'bomb.docx', bytes: makeDocx('<w:p/>'.repeat(3_000_000)), code: 'document_bomb', advice: /save it without what makes it large/ },
  ...officeFormats.flatMap(([format, make]) => [
    {
      file: `link.${format}`,
      bytes: make([{ name: 'docProps/app.xml', data: '/etc/passwd', mode: 0o120777 }]),
      code: 'document_broken',
      advice: /save it anew/,
    },
    { file: `slip.${format}`, bytes: make([{ name: '../../evil.xml', data: 'x' }]), code: 'document_broken', advice: /save it anew/ },
    { file: `root.${format}`, bytes: make([{ name: '/etc/cron.d/evil', data: 'x' }]), code: 'document_broken', advice: /save it anew/ },
  ]),
  { file: 'zero.txt', bytes: '', code: 'document_empty', advice: /upload it again/ },
  { file: 'one-nul.txt', bytes: Buffer.alloc(1), code: 'document_unsupported', advice: /a format that is read/ },
  { file: 'one-blank.txt', bytes: ' ', code: 'document_empty', advice: /leave it out/ },
  { file: 'forms.bin', bytes: nested, code: 'document_unsupported', advice: /send each file in it/, type: nestedType },
]

const jobs = z.object({
  jobs: z.array(
    z.object({
      name: z.string(),
      document: z.string(),
      state: z.string(),
      error: z.object({ code: z.string(), message: z.string(), hint: z.string().nullable() }).nullable(),
    }),
  ),
})

function partOf(file: string, body: string | Uint8Array, type = 'application/octet-stream') {
  return { head: `name="f"; filename="${file}"\r\ncontent-type: ${type}`, body }
}

/** The jobs of a form when all of them have ended. */
async function given(parts: Parameters<typeof formOf>[0]) {
  const path = '/rag/collections/mixed/documents'
  const answer = await exchange(
    Number(new URL(gateway.url).port),
    requestBytes('POST', `${path}?wait=true`, { headers: [...multipart], body: formOf(parts) }),
  )
  return { status: answer.status, jobs: jobs.parse(JSON.parse(answer.body)).jobs }
}

test('of one upload each bad document fails with what to do about it, and the good ones beside them are found', async () => {
  const good = bad.map((_, index) => `good-${index}.txt`)
  const parts = bad.flatMap(({ file, bytes, type }, index) => [
    partOf(file, bytes, type),
    partOf(`good-${index}.txt`, `The words of number ${index}.`, 'text/plain'),
  ])
  const answer = await given(parts)
  const byName = new Map(answer.jobs.map((job) => [job.name, job]))
  expect(answer.jobs).toHaveLength(parts.length)
  for (const { file, code, advice } of bad) {
    const job = byName.get(file)
    expect([file, job?.state, job?.error?.code]).toEqual([file, 'failed', code])
    expect(`${job?.error?.message}; ${job?.error?.hint}`).toMatch(advice)
    expect(`${job?.error?.message}`).not.toMatch(/\.ts:|node_modules|\/tmp\//)
    expect((await gateway.ask('GET', `/rag/collections/mixed/documents/${file}`)).json['code']).toBe('document_not_found')
  }
  for (const [index, file] of good.entries()) {
    expect([file, byName.get(file)?.state]).toEqual([file, 'done'])
    expect((await gateway.ask('GET', `/rag/collections/mixed/documents/${file}/text`)).text).toBe(`The words of number ${index}.`)
  }
})

test('a form within a form that has no file name is not lost: it is a document that is refused', async () => {
  const answer = await given([
    partOf('before.txt', 'Words before.'),
    { head: `name="f"\r\ncontent-type: ${nestedType}`, body: nested },
    partOf('behind.txt', 'Words behind.'),
  ])
  expect(answer.jobs.map(({ state, error }) => [state, error?.code])).toEqual([
    ['done', undefined],
    ['failed', 'document_unsupported'],
    ['done', undefined],
  ])
})

test('a document of one byte is read', async () => {
  expect((await given([partOf('one.txt', 'x')])).jobs).toMatchObject([{ document: 'one.txt', state: 'done' }])
  expect((await gateway.ask('GET', '/rag/collections/mixed/documents/one.txt/text')).text).toBe('x')
})
