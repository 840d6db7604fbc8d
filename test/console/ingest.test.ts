// Documents on their way in, in a real browser before a gateway with documents: files and a folder dropped from outside, a job held and let go, and
// all that failed tried again at once.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'

import { mustBe, type RagGateway, startRagGateway } from '../rag/rag-gateway.ts'
import { findFaultsInEveryLook, leave, startBrowser, visit, type Visit, wide } from './browser.ts'

let gateway: RagGateway
let browser: Browser
let visited: Visit
let page: Page
beforeAll(async () => {
  gateway = await startRagGateway()
  browser = await startBrowser()
}, 180_000)
afterAll(async () => {
  await browser.close()
  await gateway.close()
})
beforeEach(async () => {
  visited = await visit(browser, wide)
  page = visited.page
})
afterEach(async () => {
  gateway.fleet.atEmbedding = () => undefined
  await leave(visited)
})

/** A new collection, open on the page. */
async function openCollection(name: string): Promise<void> {
  mustBe(201, await gateway.ask('POST', '/rag/collections', { body: { name } }))
  await page.goto(`${gateway.url}/console/documents?in=${name}`)
  await page.getByText('There is no document yet').waitFor()
}

/** A folder with a file and a folder with another, and a file beside it; the paths of both. */
function makeFiles(): readonly [folder: string, file: string] {
  const place = mkdtempSync(join(tmpdir(), 'corral-drop-'))
  const folder = join(place, 'notes')
  mkdirSync(join(folder, 'deep'), { recursive: true })
  writeFileSync(join(folder, 'bells.md'), '# Bells\n\nA bell is rung at noon.')
  writeFileSync(join(folder, 'deep', 'lamps.md'), '# Lamps\n\nA lamp is lit at dusk.')
  writeFileSync(join(place, 'gates.md'), '# Gates\n\nA gate is shut at night.')
  return [folder, join(place, 'gates.md')]
}

/** Lets `files` fall on `target`, as a file manager does. */
async function drop(target: Locator, files: readonly string[]): Promise<void> {
  const { x = 0, y = 0 } = (await target.boundingBox()) ?? {}
  const session = await page.context().newCDPSession(page)
  const data = { items: [], files: [...files], dragOperationsMask: 1 }
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await session.send('Input.dispatchDragEvent', { type, x: x + 5, y: y + 5, data })
  }
  await session.detach()
}

async function documentsOf(collection: string): Promise<string[]> {
  const { documents } = mustBe(200, await gateway.ask('GET', `/rag/collections/${collection}/documents`)).json as {
    readonly documents: readonly { readonly id: string }[]
  }
  return documents.map(({ id }) => id).toSorted()
}

async function choose(files: Readonly<Record<string, string>>): Promise<void> {
  const given = Object.entries(files).map(([name, text]) => ({ name, mimeType: 'text/markdown', buffer: Buffer.from(text) }))
  await page.getByLabel('Choose files').last().setInputFiles(given)
}

test('a folder and a file that are dropped become documents under their paths', async () => {
  await openCollection('dropped')
  await drop(page.getByText('Drop files or a folder here.'), makeFiles())
  await page.getByText('3 of 3 sent').waitFor()
  for (const name of ['Bells', 'Lamps', 'Gates']) await page.getByRole('link', { name }).waitFor()
  expect(await documentsOf('dropped')).toEqual(['gates.md', 'notes/bells.md', 'notes/deep/lamps.md'])
  const found = await gateway.ask('POST', '/rag/search', { body: { collection: 'dropped', query: 'lamp dusk', limit: 1 } })
  expect(found.json['results']).toMatchObject([{ document: { id: 'notes/deep/lamps.md' } }])
})

test('of a folder that is refused as a whole twenty files are told in words, and the others counted', async () => {
  await openCollection('away')
  await page.route('**/documents?id=*', (route) => route.abort())
  await choose(Object.fromEntries(Array.from({ length: 23 }, (_, at) => [`${at}.md`, 'A bell.'])))
  await page.getByText('23 of 23 sent, 23 refused').waitFor()
  expect(await page.getByText('The gateway does not answer').count()).toBe(20)
  await page.getByText('And 3 more.').waitFor()
})

test('an answer without a body, as of a proxy, holds no place among those that go out', async () => {
  await openCollection('empty')
  await page.route('**/documents?id=*', (route) => route.fulfill({ status: 204 }))
  await choose({ 'a.md': 'a', 'b.md': 'b', 'c.md': 'c', 'd.md': 'd' })
  await page.getByText('4 of 4 sent, 4 refused').waitFor()
})

test('a folder that is chosen is sent as one that is dropped', async () => {
  await openCollection('chosen')
  await page.locator('input[type=file][webkitdirectory]').setInputFiles(makeFiles()[0])
  await page.getByRole('link', { name: 'Lamps' }).waitFor()
  await page.getByRole('link', { name: 'Bells' }).waitFor()
  expect(await documentsOf('chosen')).toEqual(['notes/bells.md', 'notes/deep/lamps.md'])
})

test('a job under way is paused, stays so, and ends after it is resumed', async () => {
  // What was embedded before is not asked for again: the words are new ones.
  const held = Promise.withResolvers<undefined>()
  gateway.fleet.atEmbedding = () => held.promise
  await openCollection('held')
  await choose({ 'bells.md': '# Bells\n\nA bell is held until noon.' })
  const job = page.getByRole('list', { name: 'Jobs' }).getByRole('listitem').filter({ hasText: 'bells.md' })
  await job.getByText('running').waitFor()
  const asked = page.waitForResponse((response) => response.url().endsWith('/pause'))
  await job.getByRole('button', { name: 'Pause bells.md' }).click()
  expect((await asked).status()).toBe(200)
  held.resolve(undefined)
  await job.getByText('paused').waitFor()
  await page.getByText('nothing is under way').waitFor()
  expect(await job.getByRole('button', { name: 'Pause bells.md' }).count()).toBe(0)
  expect(await findFaultsInEveryLook(page)).toEqual([])
  expect(await documentsOf('held')).toEqual([])
  await job.getByRole('button', { name: 'Resume bells.md' }).click()
  await page.getByRole('link', { name: 'Bells' }).waitFor()
  expect(await job.count()).toBe(0)
})

/** As a browser does with a tab behind another. */
async function show(isShown: boolean): Promise<void> {
  await page.evaluate(`{
    Object.defineProperty(document, 'hidden', { value: ${!isShown}, configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))
  }`)
}

test('jobs are followed while they are seen; a gateway that goes away is told, and asked ever less often until it is back', async () => {
  let isAway = false
  const asked: string[] = []
  await page.route('**/rag/jobs?*', (route) => {
    if (route.request().headers()['accept'] === 'text/event-stream') asked.push(isAway ? 'in vain' : 'followed')
    return isAway ? route.abort() : route.continue()
  })
  await openCollection('seen')
  await expect.poll(() => asked).toEqual(['followed'])
  const left = page.waitForEvent('requestfailed', (request) => request.url().includes('/rag/jobs?'))
  await show(false)
  await left
  isAway = true
  await show(true)
  await page.getByRole('alert').getByText('The gateway does not answer').waitFor()
  await page.waitForTimeout(3_000)
  const inVain = asked.filter((what) => what === 'in vain').length
  expect(inVain).toBeGreaterThan(1)
  expect(inVain).toBeLessThan(6)
  isAway = false
  await expect.poll(() => asked.at(-1), { timeout: 20_000 }).toBe('followed')
  await page.getByRole('alert').getByText('The gateway does not answer').waitFor({ state: 'hidden' })
})

test('all that failed is tried again at once, and nothing else', async () => {
  await openCollection('failed')
  const program = '\u007fELF\u0000\u0001\u0002\u0000'
  await choose({ 'bells.md': '# Bells\n\nA bell is rung at noon.', 'first.bin': program, 'second.bin': `${program}!` })
  const jobs = page.getByRole('list', { name: 'Jobs' }).getByRole('listitem')
  const untilFailed = async (): Promise<void> => {
    for (const name of ['first.bin', 'second.bin']) await jobs.filter({ hasText: name }).getByText('document_unsupported').waitFor()
  }
  await untilFailed()
  await page.getByRole('link', { name: 'Bells' }).waitFor()
  const before = await endsOf('failed')
  const retried = page.waitForResponse((response) => response.url().endsWith('/retry-failed'))
  await page.getByRole('button', { name: 'Retry all failed' }).click()
  expect(await (await retried).json()).toEqual({ retried: 2 })
  await expect
    .poll(async () => {
      const after = await endsOf('failed')
      return Object.keys(after)
        .filter((name) => after[name] !== before[name] && after[name] !== null)
        .toSorted()
    })
    .toEqual(['first.bin', 'second.bin'])
  await untilFailed()
})

/** When each job of a collection came to its end, by its document. */
async function endsOf(collection: string): Promise<Record<string, string | null>> {
  const { jobs } = mustBe(200, await gateway.ask('GET', `/rag/jobs?collection=${collection}`)).json as {
    readonly jobs: readonly { readonly document: string; readonly finishedAt: string | null }[]
  }
  return Object.fromEntries(jobs.map(({ document, finishedAt }) => [document, finishedAt]))
}

/** Lets the page send this many bytes a second; null: as many as it can. */
async function slowDown(bytesPerSecond: number | null): Promise<void> {
  const session = await page.context().newCDPSession(page)
  await session.send('Network.enable')
  const unlimited = { offline: false, latency: 0, downloadThroughput: -1 }
  await session.send('Network.emulateNetworkConditions', { ...unlimited, uploadThroughput: bytesPerSecond ?? -1 })
}

const megabyte = (name: string): Record<string, string> => ({ [name]: `# ${name}\n\n${'A long line about bells. '.repeat(42_000)}` })

test('uploads show their bytes while they go out, and one of them is cancelled', async () => {
  await openCollection('bytes')
  await slowDown(250_000)
  await choose({ ...megabyte('kept.md'), ...megabyte('dropped.md') })
  const row = (name: string): Locator => page.getByRole('list', { name: 'Uploads' }).getByRole('listitem').filter({ hasText: name })
  const sent = async (): Promise<number> => Number(await page.getByLabel('Bytes sent', { exact: true }).getAttribute('value'))
  await row('kept.md').getByText('KiB of 1.0 MiB').waitFor()
  await page.getByText('of 2.0 MiB').waitFor()
  expect(await findFaultsInEveryLook(page)).toEqual([])
  const first = await sent()
  await expect.poll(sent).toBeGreaterThan(first)
  await row('dropped.md').getByRole('button', { name: 'Cancel dropped.md' }).click()
  await page.getByText('0 of 2 sent, 1 cancelled').waitFor()
  await page.getByText('of 1.0 MiB').first().waitFor()
  await slowDown(null)
  await page.getByText('1 of 2 sent, 1 cancelled').waitFor()
  await page.getByRole('link', { name: 'kept.md' }).waitFor()
  expect(await documentsOf('bytes')).toEqual(['kept.md'])
})

test('a single upload is cancelled, and nothing of it stays; a file that is refused says why', async () => {
  await openCollection('nothing')
  await slowDown(250_000)
  await choose(megabyte('long.md'))
  await page.getByText('of 1.0 MiB').waitFor()
  await page.getByRole('button', { name: 'Cancel', exact: true }).click()
  await page.getByText('0 of 1 sent, 1 cancelled').waitFor()
  await slowDown(null)
  expect((await gateway.ask('GET', '/rag/jobs?collection=nothing')).json['jobs']).toEqual([])
  expect(await documentsOf('nothing')).toEqual([])
  mustBe(204, await gateway.ask('DELETE', '/rag/collections/nothing'))
  await choose({ 'late.md': 'Too late.' })
  await page.getByRole('alert').filter({ hasText: 'collection_not_found' }).first().waitFor()
  await page.getByText('1 of 1 sent, 1 refused').waitFor()
})

test('a gateway that is busy is waited for, with the seconds and its reason, and nothing has failed', async () => {
  const asked: string[] = []
  let busySeconds = 12
  await page.route('**/documents?id=*', (route) => {
    asked.push(new URL(route.request().url()).searchParams.get('id') ?? '')
    if (asked.length > 2) return route.continue()
    const json = { code: 'overloaded', detail: 'the gateway is short of memory: it takes no documents' }
    return route.fulfill({ status: 503, headers: { 'retry-after': String(busySeconds), 'content-type': 'application/problem+json' }, json })
  })
  await openCollection('busy')
  await choose({ 'bells.md': '# Bells\n\nA bell is rung by those who wait.', 'lamps.md': '# Lamps\n\nA lamp is lit by those who wait.' })
  await page.getByText(/^Waiting, (?:[7-9]|1[0-2]) s$/).waitFor()
  await page.getByText('the gateway is short of memory').waitFor()
  await page.getByText('0 of 2 sent').waitFor()
  expect(await page.getByRole('button', { name: 'Cancel all' }).count()).toBe(1)
  await page.getByText(/^Waiting, [1-6] s$/).waitFor()
  await page.getByText('2 of 2 sent').waitFor()
  expect(await page.getByText(/^Waiting|refused/).count()).toBe(0)
  expect(asked).toEqual(['bells.md', 'lamps.md', 'bells.md', 'lamps.md'])
  await page.getByRole('link', { name: 'Bells' }).waitFor()
  expect(await documentsOf('busy')).toEqual(['bells.md', 'lamps.md'])

  asked.splice(0)
  busySeconds = 60
  await choose({ 'gates.md': '# Gates\n\nA gate is shut at night.' })
  await page.getByText(/^Waiting, [56]\d s$/).waitFor()
  expect(await findFaultsInEveryLook(page)).toEqual([])
  await page.getByRole('button', { name: 'Cancel', exact: true }).click()
  await page.getByText('0 of 1 sent, 1 cancelled').waitFor()
  expect(asked).toEqual(['gates.md'])
})
