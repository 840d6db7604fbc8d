// Search and documents in a real browser before a gateway with documents: found passages with their scores, files taken in, what fails told
// and tried again, deletions after a question. axe finds nothing at both widths and in both themes, and the browser logs no error.
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type RagGateway, startRagGateway } from '../rag/rag-gateway.ts'
import { findFaults, findFaultsInEveryLook, findFaultsOnWidestScreen, leave, narrow, startBrowser, visit, wide } from './browser.ts'
import { documents, fillHandbook } from './handbook.ts'

let gateway: RagGateway
let browser: Browser
beforeAll(async () => {
  gateway = await startRagGateway()
  await fillHandbook(gateway)
  browser = await startBrowser()
}, 180_000)
afterAll(async () => {
  await browser.close()
  await gateway.close()
})

async function search(page: Page, words: string): Promise<void> {
  await page.getByLabel('Question or words').fill(words)
  await page.getByRole('button', { name: 'Search', exact: true }).click()
}

async function giveFile(page: Page, name: string, text: string): Promise<void> {
  await page
    .locator('input[type=file]')
    .first()
    .setInputFiles({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(text) })
}

test('search and documents show their data without a fault at both widths in both themes', { timeout: 120_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  const faults: string[][] = []
  await page.goto(`${gateway.url}/console/search?q=certificate%20of%20sickness&in=handbook`)
  await page.getByText('Why here').first().waitFor()
  faults.push(await findFaultsInEveryLook(page))
  await page.goto(`${gateway.url}/console/documents`)
  await page.getByRole('link', { name: 'handbook' }).waitFor()
  faults.push(await findFaultsInEveryLook(page))
  await page.getByRole('link', { name: 'handbook' }).click()
  await page.getByRole('link', { name: 'Travel' }).waitFor()
  faults.push(await findFaultsInEveryLook(page))
  await page.getByRole('link', { name: 'Travel' }).click()
  await page.getByText('Trains are booked').waitFor()
  faults.push(await findFaultsInEveryLook(page))
  expect(faults.flat()).toEqual([])
  await leave(visited)
})

test('on the widest screen none of them, nor the playground, has a fault', { timeout: 120_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  const shown = {
    'search?q=certificate&in=handbook': 'Why here',
    documents: 'handbook',
    'documents?in=handbook': 'Travel',
    'playground?in=handbook': 'It answers from handbook',
  }
  const faults: string[][] = []
  for (const [path, text] of Object.entries(shown)) {
    await page.goto(`${gateway.url}/console/${path}`)
    await page.getByText(text).first().waitFor()
    faults.push(await findFaultsOnWidestScreen(page))
  }
  expect(faults.flat()).toEqual([])
  await leave(visited)
})

test('a hit tells the scores of both legs and why it stands there, and leads to its passage, marked', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/search`)
  await search(page, 'certificate of sickness')
  const first = page.getByRole('list', { name: 'Results' }).getByRole('listitem').first()
  await first.getByText('#1 of these by words').waitFor()
  for (const name of ['Fused', 'BM25', 'Vector']) expect(await first.getByText(name, { exact: true }).count()).toBe(1)
  expect(await first.locator('mark').allInnerTexts()).toContain('certificate')
  await page.getByText('passed by, to explain').waitFor()
  await page.getByText('convex sum of scaled scores').waitFor()
  await first.getByRole('link', { name: 'Leave' }).click()
  const marked = await page.locator('mark', { hasText: 'A certificate' }).innerText()
  expect(documents['leave.md']).toContain(marked)
  expect(marked).toContain('A certificate is needed')
  await page.goBack()
  await first.getByText('#1 of these by words').waitFor()
  expect(await page.getByLabel('Question or words').inputValue()).toBe('certificate of sickness')
  await leave(visited)
})

test('a hit is shown with the section around it when asked for', { timeout: 60_000 }, async () => {
  const paragraphs = Array.from({ length: 12 }, (_, at) => `Paragraph ${at} of the rules ${'goes on about clocks and hours '.repeat(12)}.`)
  await gateway.collection('rules', {})
  await gateway.put('rules', 'rules.md', `# Rules\n\n${paragraphs.join('\n\n')}\n\n# Others\n\nElsewhere.`, { type: 'text/markdown' })
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/search?q=paragraph+5&in=rules&mode=keyword`)
  const first = page.getByRole('list', { name: 'Results' }).getByRole('listitem').first()
  await first.getByText('Paragraph 5 of').waitFor()
  expect(await first.getByText('Paragraph 8 of').count()).toBe(0)
  await page.getByLabel('With the section around').check()
  await page.getByRole('button', { name: 'Search', exact: true }).click()
  await first.getByText('Paragraph 8 of').waitFor()
  expect(await first.locator('mark').allInnerTexts()).toContain('Paragraph')
  expect([await first.getByText('Elsewhere').count(), page.url().includes('section=1')]).toEqual([0, true])
  expect(await findFaults(page)).toEqual([])
  await leave(visited)
})

test('what was found is narrowed down by its metadata, which stands in the address', { timeout: 60_000 }, async () => {
  await gateway.collection('policies', {})
  const metadata = {
    'a.txt': { team: 'sales', year: 2025, tags: ['travel', 'cost'] },
    'b.txt': { team: 'sales', year: 2024, tags: ['travel'] },
    'c.txt': { team: 'support', year: 2025, tags: [] },
  }
  for (const [id, each] of Object.entries(metadata)) await gateway.put('policies', id, `A policy of ${id}.`, { metadata: each })
  const visited = await visit(browser, wide)
  const { page } = visited
  const found = page.getByRole('list', { name: 'Results' }).getByRole('listitem')
  await page.goto(`${gateway.url}/console/search?q=policy&in=policies&mode=keyword`)
  const facet = (field: string) => page.getByRole('group', { name: field, exact: true }).getByRole('button')
  await facet('team').first().waitFor()
  expect([await facet('team').allTextContents(), await facet('year').allTextContents(), await facet('tags').allTextContents()]).toEqual([
    ['sales 2', 'support 1'],
    ['2025 2', '2024 1'],
    ['travel 2', 'cost 1'],
  ])
  expect(await findFaultsInEveryLook(page)).toEqual([])
  await facet('year').filter({ hasText: '2025' }).click()
  await expect.poll(() => found.count()).toBe(2)
  await facet('tags').filter({ hasText: 'travel' }).click()
  await expect.poll(() => found.count()).toBe(1)
  await page.reload()
  await found.getByRole('link', { name: 'a.txt' }).waitFor()
  expect(await found.count()).toBe(1)
  expect(await findFaults(page)).toEqual([])
  await page.getByRole('button', { name: 'Without tags: travel' }).click()
  await expect.poll(() => found.count()).toBe(2)
  await page.goBack()
  await expect.poll(() => found.count()).toBe(1)
  await leave(visited)
})

test('a search again is answered from the cache and says so', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  const address = `${gateway.url}/console/search?q=second+class&in=handbook&in=minutes&plain=1&filter=null&filter=%7B`
  await page.goto(address)
  await page.getByText('miss', { exact: true }).waitFor()
  await page.goto(address)
  await page.getByText('hit', { exact: true }).waitFor()
  await leave(visited)
})

test('no result and no such collection each say the next step', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, narrow)
  const { page } = visited
  await page.goto(`${gateway.url}/console/search?q=zebra&in=minutes&mode=keyword`)
  await page.getByText('Nothing was found').waitFor()
  expect(await findFaults(page)).toEqual([])
  await page.goto(`${gateway.url}/console/search?q=zebra&in=nowhere`)
  await page.getByRole('alert').getByText('collection_not_found').waitFor()
  expect(await findFaults(page)).toEqual([])
  await leave(visited)
})

test('a collection is made, a file becomes searchable, and both go after a question', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/documents`)
  await page.getByRole('button', { name: 'New collection' }).click()
  await page.getByLabel('Name').fill('bicycles')
  expect(await findFaults(page)).toEqual([])
  await page.getByRole('button', { name: 'Create', exact: true }).click()
  await page.getByText('There is no document yet').waitFor()
  const asked: string[] = []
  page.on('request', (request) => void (request.url().includes('/rag/jobs') && asked.push(request.resourceType())))
  await giveFile(page, 'chains.md', '# Chains\n\nA chain is oiled every two hundred kilometres.')
  await page.getByRole('link', { name: 'Chains' }).waitFor()
  await page.getByText('1 of 1 sent').waitFor()
  // What becomes of it is pushed: the list is read again only for what was done here.
  expect(asked.filter((kind) => kind === 'fetch').length).toBeLessThanOrEqual(1)
  const found = await gateway.ask('POST', '/rag/search', { body: { collection: 'bicycles', query: 'oiled' } })
  expect(found.json['results']).toMatchObject([{ document: { id: 'chains.md' } }])
  await page.getByRole('button', { name: 'Ingest again' }).click()
  expect(await findFaults(page)).toEqual([])
  await page.getByRole('button', { name: 'Ingest all again' }).click()
  await expect.poll(async () => (await gateway.ask('GET', '/rag/collections/bicycles/documents/chains.md')).json['revision']).toBe(2)
  await page.getByRole('button', { name: 'Delete chains.md' }).click()
  expect(await findFaults(page)).toEqual([])
  await page.getByRole('button', { name: 'Delete it' }).click()
  await page.getByText('There is no document yet').waitFor()
  await page.getByRole('button', { name: 'Delete collection' }).click()
  await page.getByRole('button', { name: 'Delete for good' }).click()
  await page.getByRole('link', { name: 'handbook' }).waitFor()
  expect((await gateway.ask('GET', '/rag/collections/bicycles')).status).toBe(404)
  await leave(visited)
})

test('a broken file tells its code and its remedy, and can be tried again', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/documents?in=minutes`)
  await giveFile(page, 'cut.pdf', '%PDF-1.4 and no more')
  const job = page.getByRole('list', { name: 'Jobs' }).getByRole('listitem').filter({ hasText: 'cut.pdf' })
  await job.getByText('document_broken').waitFor()
  expect(await findFaults(page)).toEqual([])
  const retried = page.waitForResponse((response) => response.url().endsWith('/retry'))
  await job.getByRole('button', { name: 'Retry cut.pdf' }).click()
  expect((await retried).status()).toBe(200)
  await job.getByText('document_broken').waitFor()
  await leave(visited)
})

test('a hostile document is text wherever it is shown', { timeout: 60_000 }, async () => {
  const title = '<img src=x onerror=alert(1)>'
  await gateway.collection('hostile', { 'evil.txt': `${title}\n\nThe zanzibar <script>alert(2)</script> [here](javascript:alert(3)).` })
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/search?q=zanzibar&in=hostile&mode=keyword`)
  const hit = page.getByRole('list', { name: 'Results' }).getByRole('listitem').first()
  await hit.getByText('<script>alert(2)</script>').waitFor()
  expect(await page.locator('main img, main script, a[href^="javascript"]').count()).toBe(0)
  await hit.getByRole('link').first().click()
  await page.getByText(title).first().waitFor()
  expect(await page.locator('main img, main script, a[href^="javascript"]').count()).toBe(0)
  await leave(visited)
})

test('a page by its URL is refused with a reason when its address is not public', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/documents?in=minutes`)
  await page.getByLabel('Or the URL of a page').fill('http://127.0.0.1:1/secret')
  await page.getByRole('button', { name: 'Add the page' }).click()
  await page.getByText('url_not_allowed').first().waitFor()
  await leave(visited)
})
