// Every page in a real browser before a gateway that wants keys: with data and when the gateway fails, in both themes and widths, by what a
// person does there. axe finds nothing, and the browser logs no error and no breach of the policy.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { scopes } from '../../src/core/principal.ts'
import { operatorAct } from '../identity/fixture.ts'
import { type ClosedGateway, startClosedGateway } from '../identity/gateway.ts'
import { builtFolder, enterKey, findFaults, findFaultsInEveryLook, leave, narrow, signIn, startBrowser, visit, wide } from './browser.ts'

const gzipBytesMax = 200_000

let gateway: ClosedGateway
let browser: Browser
let key: string
beforeAll(async () => {
  gateway = await startClosedGateway()
  browser = await startBrowser()
  key = await gateway.key({ tenant: 'local', scopes: [...scopes], title: 'of the operator', lifeMs: 'never' })
  const body = '{"model":"small","stream":false,"messages":[{"role":"user","content":"hi"}]}'
  const answer = await fetch(`${gateway.url}/api/chat`, { method: 'POST', headers: { authorization: `Bearer ${key}` }, body })
  expect(answer.status).toBe(200)
  await answer.arrayBuffer()
}, 120_000)
afterAll(async () => {
  await browser.close()
  await gateway.close()
})

/** Each page with what it shows once its data is there. */
const pages = [
  { link: 'Fleet', shown: 'Requests/s' },
  { link: 'Requests', shown: 'Nothing is under way' },
  { link: 'History', shown: 'small' },
  { link: 'Keys', shown: 'of the operator' },
  { link: 'Usage', shown: 'GPU seconds' },
  { link: 'Settings', shown: 'fleet.nodes' },
  { link: 'API', shown: '/rag/search' },
]

test('every page shows its data without a fault at both widths in both themes', { timeout: 240_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/`)
  await page.getByLabel('API key').waitFor()
  const faults = [await findFaultsInEveryLook(page)]
  await signIn(page, gateway.url, key)
  faults.push(await findFaultsInEveryLook(page))
  for (const { link, shown } of pages) {
    await page.getByRole('navigation').getByRole('link', { name: link }).click()
    await page.getByRole('heading', { name: link, level: 1 }).waitFor()
    await page.getByText(shown).first().waitFor()
    faults.push(await findFaultsInEveryLook(page))
  }
  expect(faults.flat()).toEqual([])
  await leave(visited)
})

test('a wrong key is told in words, and opens nothing', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/keys`)
  await enterKey(page, 'corral_nobody')
  await page.getByRole('alert').getByText('unauthenticated').waitFor()
  expect(await findFaults(page)).toEqual([])
  await leave(visited)
})

test('a key is made, shown once, and revoked after a question', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await signIn(page, gateway.url, key)
  await page.goto(`${gateway.url}/console/keys`)
  await page.getByRole('button', { name: 'Create a key' }).click()
  await page.getByLabel('Title').fill('notebook')
  expect(await findFaults(page)).toEqual([])
  await page.getByRole('button', { name: 'Create', exact: true }).click()
  await page.getByText('it can never be shown again').waitFor()
  const made = await page.getByRole('group', { name: 'The key' }).innerText()
  expect(made).toMatch(/^corral_/)
  const models = (): Promise<Response> => fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${made.trim()}` } })
  expect((await models()).status).toBe(200)
  expect(await findFaults(page)).toEqual([])
  await page.getByRole('button', { name: 'Close' }).click()
  await page.getByRole('button', { name: 'Revoke notebook' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
  await page
    .getByRole('row', { name: /notebook/ })
    .getByText('revoked')
    .waitFor()
  expect((await models()).status).toBe(401)
  await leave(visited)
})

test('a node is drained and taken back, and the page follows by itself', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await signIn(page, gateway.url, key)
  await page.goto(`${gateway.url}/console/fleet/n1`)
  await page.getByRole('button', { name: 'Drain', exact: true }).click()
  await page.getByText('draining').waitFor()
  expect(gateway.app.fleet.nodes.map(({ draining }) => draining)).toEqual([true])
  await page.getByRole('button', { name: 'Undrain' }).click()
  await page.getByText('up', { exact: true }).waitFor()
  expect(gateway.app.fleet.nodes.map(({ draining }) => draining)).toEqual([false])
  await leave(visited)
})

test('a capability is switched after a question, and what it takes to find a setting is its name', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await signIn(page, gateway.url, key)
  await page.goto(`${gateway.url}/console/settings`)
  const row = page.getByRole('group', { name: 'Capabilities' }).getByRole('row', { name: /^hedging/ })
  await row.getByRole('button', { name: 'Switch' }).click()
  expect(await findFaults(page)).toEqual([])
  const isOn = (): boolean | undefined => gateway.app.settings.features().find(({ name }) => name === 'hedging')?.on
  const before = isOn()
  await page
    .getByRole('dialog')
    .getByRole('button', { name: /^Switch/ })
    .click()
  await row.getByRole('button', { name: 'Reset' }).waitFor()
  expect(isOn()).toBe(!before)
  await page.getByLabel('Search').fill('fleet.nodes')
  await page.getByText(/^[1-9] of \d+ ·/).waitFor()
  await page.goto(`${gateway.url}/console/api?q=rag/search`)
  await page.getByText('POST /rag/search').click()
  await page.getByRole('heading', { name: 'Body application/json' }).waitFor()
  expect(await findFaults(page)).toEqual([])
  await leave(visited)
})

test('one request shows where its time went, also on a phone', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, narrow)
  const { page } = visited
  await signIn(page, gateway.url, key)
  await page.goto(`${gateway.url}/console/history?model=small`)
  await page
    .getByRole('link', { name: /^Details of request/ })
    .first()
    .click()
  await page.getByRole('list', { name: 'Where the time went' }).getByText('Queue').waitFor()
  await page.getByText('only', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Show the decisions' }).click()
  await page.getByText('X-Corral-Explain: true').waitFor()
  expect(await findFaults(page)).toEqual([])
  await leave(visited)
})

test('while the store is away a page says so, with the code and the request, and recovers', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, narrow)
  const { page } = visited
  await signIn(page, gateway.url, key)
  gateway.outage = true
  await page.getByRole('navigation').getByRole('link', { name: 'Usage' }).click()
  await page.getByRole('alert').getByText('store_unavailable').waitFor()
  expect(await findFaults(page)).toEqual([])
  gateway.outage = false
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByText('GPU seconds').first().waitFor()
  await leave(visited)
})

test('a session that ends leads back to the door, and one that could not be ended says so', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await signIn(page, gateway.url, key)
  await page.route('**/console/session', (route) => (route.request().method() === 'DELETE' ? route.abort() : route.continue()))
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('alert').getByText('You are still signed in').waitFor()
  await page.unroute('**/console/session')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('API key').waitFor()
  await leave(visited)
})

test('files given in one session do not go out in the next', { timeout: 60_000 }, async () => {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const made = await fetch(`${gateway.url}/rag/collections`, { method: 'POST', headers, body: '{"name":"given"}' })
  expect(made.status).toBe(201)
  const visited = await visit(browser, wide)
  const { page } = visited
  await signIn(page, gateway.url, key)
  const held = Promise.withResolvers<undefined>()
  const sent: string[] = []
  await page.route('**/documents?id=*', async (route) => {
    sent.push(new URL(route.request().url()).searchParams.get('id') ?? '')
    await held.promise
    await route.abort().catch(() => undefined) // Who cancelled it wants no end of it.
  })
  await page.getByRole('navigation').getByRole('link', { name: 'Documents' }).click()
  await page.getByRole('link', { name: 'given' }).click()
  const files = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ name: `${name}.md`, mimeType: 'text/markdown', buffer: Buffer.from(name) }))
  await page.getByLabel('Choose files').last().setInputFiles(files)
  await expect.poll(() => sent).toEqual(['a.md', 'b.md', 'c.md'])
  await page.getByRole('button', { name: 'Sign out' }).click()
  await enterKey(page, key)
  await page.getByText('There is no document yet').waitFor()
  held.resolve(undefined)
  await page.getByRole('navigation').getByRole('link', { name: 'Keys' }).click()
  await page.getByText('of the operator').first().waitFor()
  expect(sent).toEqual(['a.md', 'b.md', 'c.md'])
  await leave(visited)
})

test('a session whose key is revoked leads back to the door, and from there to the page one wanted', { timeout: 60_000 }, async () => {
  const passing = await gateway.key({ tenant: 'local', scopes: [...scopes], title: 'of a day' })
  const visited = await visit(browser, wide)
  const { page } = visited
  await signIn(page, gateway.url, passing)
  await gateway.identity.keys.revoke(passing.split('_')[1] ?? '', 'lost', operatorAct)
  await page.getByRole('navigation').getByRole('link', { name: 'Usage' }).click()
  await enterKey(page, key)
  await page.getByRole('heading', { name: 'Usage' }).waitFor()
  await leave(visited)
})

test('all scripts together weigh less than 200 kB, compressed', () => {
  const files = globSync('assets/*.js.gz', { cwd: builtFolder })
  expect(files.length).toBeGreaterThan(0)
  expect(files.reduce((sum, file) => sum + readFileSync(join(builtFolder, file)).length, 0)).toBeLessThan(gzipBytesMax)
})
