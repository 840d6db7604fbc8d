// Documents read in processes of their own: what comes back, what ends a process, and that neither the gateway nor other documents notice.

import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, truncate } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { DocumentParser, type DocumentParserOptions, type DocumentSource } from '../../src/ingest/parser-process-pool.ts'
import { createConfinement } from '../../src/ingest/parser-process-confinement.ts'
import { ParserProcess } from '../../src/ingest/parser-process.ts'
import { defaultParseLimits } from '../../src/ingest/limits.ts'
import { flateBomb, makePdf, pdfOf, textBomb } from './parse-made-pdf.ts'
import { makeDocx } from './parse-made-zip.ts'
import { assertPromises, codeOf, documentBytes, read } from './parse-support.ts'

const MB = 1_000_000
const confinement = await createConfinement({ clock: systemClock })()
const open: DocumentParser[] = []
let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-parse-'))
})
afterAll(() => rm(folder, { recursive: true }))
afterEach(async () => {
  for (const parser of open.splice(0)) await parser.close()
})

function parserWith(options: Partial<DocumentParserOptions> = {}): DocumentParser {
  const parser = new DocumentParser({ clock: systemClock, ...options })
  open.push(parser)
  return parser
}

const sourceOf = (content: Uint8Array | string, name = 'upload'): DocumentSource => ({
  content: { bytes: Buffer.from(content) },
  name,
  declaredType: null,
})

/** Resolves when no process with this id is left. */
async function isGone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 200; tries += 1) {
    try {
      process.kill(pid, 0)
    } catch {
      return true
    }
    await systemClock.sleep(10)
  }
  return false
}

test('a document comes back as it was read, from bytes and from a file', async () => {
  const parser = parserWith()
  const bytes = documentBytes('multi_page.pdf')
  const path = join(folder, 'multi.bin')
  writeFileSync(path, bytes)
  const here = await read(bytes)
  const there = await parser.parse(sourceOf(bytes))
  expect(there).toEqual(here)
  expect(await parser.parse({ content: { path }, name: 'x', declaredType: null })).toEqual(here)
  assertPromises(there)
})

test('text of every script and many blocks survive the way', async () => {
  const source = Array.from({ length: 3_000 }, (_, index) => `# Heading ${index} 漢字 🦙\n\n${'Привет, мир. '.repeat(30)}\n`).join('\n')
  const document = await parserWith().parse(sourceOf(source, 'a.md'))
  expect(document.text).toBe(source)
  expect(document).toEqual(await read(source, { name: 'a.md' }))
})

test('small documents share one process, a failure ends it', async () => {
  const pids: number[] = []
  const first = new ParserProcess(systemClock, 512 * 1_048_576, confinement)
  const task = (text: string) => ({
    chunks: [Buffer.from(text)],
    name: 'a',
    declaredType: null,
    limits: defaultParseLimits,
    signal: null,
  })
  pids.push(first.pid ?? 0)
  await first.run(task('One.\n'))
  await first.run(task('Two.\n'))
  expect(first.served).toBe(2)
  expect(await codeOf(first.run(task('\u200b')))).toBe('document_empty')
  expect(first.isUsable).toBe(false)
  expect(await isGone(pids[0] ?? 0)).toBe(true)
})

test('the process has no environment, no network and no files but its code', async () => {
  const worker = new ParserProcess(systemClock, 512 * 1_048_576, confinement)
  const flags = readFileSync(`/proc/${worker.pid}/cmdline`, 'utf8').split('\0')
  expect(flags).toContain('--permission')
  expect(flags.filter((flag) => /allow-(?:fs-write|net|child-process|worker|addons)/.test(flag))).toEqual([])
  expect(
    flags.filter((flag) => flag.startsWith('--allow-fs-read')).every((flag) => /(?:src|dist|node_modules)\/\*$|package\.json$/.test(flag)),
  ).toBe(true)
  expect(readFileSync(`/proc/${worker.pid}/environ`, 'utf8')).toBe('')
  await worker.kill()
})

test('a process without anything around it reads as well', async () => {
  const worker = new ParserProcess(systemClock, 512 * 1_048_576, [])
  expect(
    (await worker.run({ chunks: [Buffer.from('One.\n')], name: 'a', declaredType: null, limits: defaultParseLimits, signal: null })).text,
  ).toBe('One.\n')
  await worker.kill()
})

const holds = (tool: string): boolean => confinement.some((part) => part.endsWith(`/${tool}`))

/** Ids of the processes of this test that read documents. */
function parserProcesses(): string[] {
  const procText = (id: string, file: string): string => {
    try {
      return readFileSync(`/proc/${id}/${file}`, 'utf8')
    } catch {
      return ''
    }
  }
  const own = readdirSync('/proc').filter((id) => procText(id, 'status').includes(`\nPPid:\t${process.pid}\n`))
  return own.filter((id) => procText(id, 'cmdline').includes('parser-child'))
}

/** What a program prints that runs as a parser does, but with all that Node itself would forbid. */
async function printed(program: string): Promise<string> {
  const [file, ...args] = [...confinement, process.execPath, '--input-type=module', '--eval', program]
  return (await promisify(execFile)(file, args, { env: {} })).stdout.trim()
}

test.runIf(holds('unshare'))('the system gives the process a network of its own, from which nothing can be reached', async () => {
  await parserWith().parse(sourceOf('One.\n'))
  const [pid] = parserProcesses()
  expect(readlinkSync(`/proc/${pid}/ns/net`)).not.toBe(readlinkSync('/proc/self/ns/net'))
  const server = createServer((socket) => socket.end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const connect = (host: string) =>
    printed(
      `import { connect } from 'node:net'; connect(${port}, '${host}').on('connect', () => console.log('reached')).on('error', ({ code }) => console.log(code))`,
    )
  expect(await connect('127.0.0.1')).toBe('ENETUNREACH')
  expect(await connect('169.254.169.254')).toBe('ENETUNREACH')
  server.close()
})

test.runIf(holds('prlimit'))('the system lets the process write no file', async () => {
  const path = join(folder, 'written')
  const program = `import { writeFileSync } from 'node:fs'; try { writeFileSync('${path}', 'x') } catch ({ code }) { console.log(code) }`
  expect([await printed(program), readFileSync(path, 'utf8')]).toEqual(['EFBIG', ''])
})

test.runIf(holds('setpriv'))('the system gives the process no rights that it does not have', async () => {
  expect(await printed(`import { readFileSync } from 'node:fs'; console.log(readFileSync('/proc/self/status', 'utf8'))`)).toContain(
    'NoNewPrivs:\t1',
  )
})

/** Handing bytes over takes some hundredths of a second; reading one of these takes seconds. */
const ownCpuMsMax = 1_000

test.for([
  ['a PDF page of 1.5 GB behind 1.5 MB', () => flateBomb(1_500)],
  ['a PDF of two million lines behind 300 kB', () => textBomb(2_000_000)],
  ['a DOCX part of 300 MB behind 300 kB', () => makeDocx(`<w:p><w:r><w:t>${'a'.repeat(300 * MB)}</w:t></w:r></w:p>`)],
  ['HTML of a million nested elements', () => `<html><body>${'<div>'.repeat(900_000)}`],
  [
    'HTML of a million attributes',
    () => `<html><body><p ${Array.from({ length: 500_000 }, (_, index) => `a${index}`).join(' ')}>x</p></body></html>`,
  ],
  ['JSON of a million brackets', () => '['.repeat(MB)],
  ['an XML of 100,000 levels', () => `<?xml version="1.0"?>${'<a>'.repeat(100_000)}`],
  ['CSV with a quote that never ends', () => `a,b\n"${'x,'.repeat(3 * MB)}`],
] as const)('%s ends with an answer, while other documents are read', async ([, make], { expect: check }) => {
  const bytes = Buffer.from(make())
  const parser = parserWith({ limits: { wallMs: 20_000, cpuMs: 8_000 } })
  const before = process.memoryUsage().rss
  const cpuBefore = process.threadCpuUsage()
  const hostile = parser.parse(sourceOf(bytes)).then(
    () => 'read',
    (error: { code?: string }) => error.code,
  )
  const others = await Promise.all(Array.from({ length: 5 }, (_, index) => parser.parse(sourceOf(`Note ${index}.\n`))))
  check(others.map(({ text }) => text)).toEqual([0, 1, 2, 3, 4].map((index) => `Note ${index}.\n`))
  check(['read', 'document_bomb', 'document_timeout', 'document_too_complex', 'document_too_large', 'document_broken']).toContain(
    await hostile,
  )
  check(process.memoryUsage().rss - before).toBeLessThan(200 * MB)
  // CPU of this thread, which no other load adds to: what is read is read elsewhere.
  const { user, system } = process.threadCpuUsage(cpuBefore)
  check((user + system) / 1_000).toBeLessThan(ownCpuMsMax)
})

test('a PDF of 20,000 pages is refused before any is read', async () => {
  const pages = Array.from({ length: 20_000 }, () => Buffer.from('BT ET'))
  expect(await codeOf(parserWith().parse(sourceOf(pdfOf(pages))))).toBe('document_too_many_pages')
})

test('2 GB are refused by their size alone, 0 bytes too', async () => {
  const path = join(folder, 'large')
  writeFileSync(path, '')
  expect(await codeOf(parserWith().parse({ content: { path }, name: 'x', declaredType: null }))).toBe('document_empty')
  await truncate(path, 2_000 * MB)
  expect(await codeOf(parserWith().parse({ content: { path }, name: 'x', declaredType: null }))).toBe('document_too_large')
})

test('the largest document is what it is when the document comes', async () => {
  let sourceBytesMax = 10
  const parser = parserWith({ sourceBytesMax: () => sourceBytesMax })
  expect(await codeOf(parser.parse(sourceOf('Eleven and more.')))).toBe('document_too_large')
  sourceBytesMax = 100
  expect((await parser.parse(sourceOf('Eleven and more.'))).text).toBe('Eleven and more.')
})

test('time, processor time and memory have their own limits and words', async () => {
  const slow = textBomb(300_000)
  expect(await codeOf(parserWith({ limits: { wallMs: 300 } }).parse(sourceOf(slow)))).toBe('document_timeout')
  expect(await codeOf(parserWith({ limits: { cpuMs: 400 } }).parse(sourceOf(slow)))).toBe('document_timeout')
  expect(await codeOf(parserWith({ limits: { heapBytes: 48 * 1_048_576 } }).parse(sourceOf(slow)))).toBe('document_too_complex')
  expect(await codeOf(parserWith({ limits: { residentBytes: 90 * 1_048_576 } }).parse(sourceOf(slow)))).toBe('document_too_complex')
})

test('a signal ends the process, or the waiting for one', async () => {
  const parser = parserWith({ processes: 1 })
  const [reading, waiting] = [new AbortController(), new AbortController()]
  const reason = new Error('no longer wanted')
  const first = parser.parse(sourceOf(textBomb(200_000)), { signal: reading.signal })
  const second = parser.parse(sourceOf('Second.\n'), { signal: waiting.signal })
  const third = parser.parse(sourceOf('Third.\n'))
  waiting.abort(reason)
  await expect(second).rejects.toBe(reason)
  reading.abort(reason)
  await expect(first).rejects.toBe(reason)
  expect((await third).text).toBe('Third.\n')
})

test('a process that is killed from outside is a failure that may be tried again', async () => {
  const worker = new ParserProcess(systemClock, 512 * 1_048_576, confinement)
  const task = { chunks: [textBomb(200_000)], name: 'a', declaredType: null, limits: defaultParseLimits, signal: null }
  const reading = codeOf(worker.run(task))
  process.kill(worker.pid ?? 0, 'SIGKILL')
  expect(await reading).toBe('parser_failed')
})

test('closing ends every process and refuses what comes later', async () => {
  const parser = parserWith()
  const reading = codeOf(parser.parse(sourceOf(makePdf([[{ text: 'x', x: 1, y: 1 }]]))))
  await parser.close()
  expect(['none', 'parser_failed', 'draining']).toContain(await reading)
  expect(await codeOf(parser.parse(sourceOf('Late.\n')))).toBe('draining')
})
