// What an operator does, in a real browser before a gateway that wants keys: keys are rotated, nodes come and go, requests and usage are narrowed
// down and taken along as CSV, capabilities are switched off and on, and the support bundle is saved.
import { readFile } from 'node:fs/promises'
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { scopes } from '../../src/core/principal.ts'
import { type ClosedGateway, startClosedGateway } from '../identity/gateway.ts'
import { answerChat, sendJson, startFakeNode } from '../http/fake-node.ts'
import {
  findFaults,
  findFaultsInEveryLook,
  findFaultsOnWidestScreen,
  leave,
  signIn,
  startBrowser,
  visit,
  type Visit,
  wide,
} from './browser.ts'

let gateway: ClosedGateway
let browser: Browser
let visited: Visit
let page: Page
let key: string
beforeAll(async () => {
  gateway = await startClosedGateway()
  browser = await startBrowser()
  key = await gateway.key({ tenant: 'local', scopes: [...scopes], title: 'of the operator', lifeMs: 'never' })
  for (const model of ['small', 'small']) await chat(model)
  gateway.node.script = (_incoming, outgoing) => sendJson(outgoing, 404, { error: 'model "nobody" not found' })
  expect((await chat('nobody')).status).toBe(404)
  gateway.node.script = answerChat
  // What has ended is written a moment later.
  while ((await countEnded()) < 3) await systemClock.sleep(20)
  visited = await visit(browser, wide)
  page = visited.page
  await signIn(page, gateway.url, key)
}, 180_000)
afterAll(async () => {
  await leave(visited)
  await browser.close()
  await gateway.close()
})

async function chat(model: string, by = key): Promise<Response> {
  const body = JSON.stringify({ model, stream: false, messages: [{ role: 'user', content: 'hi' }] })
  const answer = await fetch(`${gateway.url}/api/chat`, { method: 'POST', headers: { authorization: `Bearer ${by}` }, body })
  await answer.arrayBuffer()
  return answer
}

async function countEnded(): Promise<number> {
  const answer = await fetch(`${gateway.url}/admin/requests/history`, { headers: { authorization: `Bearer ${key}` } })
  const { requests } = (await answer.json()) as { readonly requests: readonly unknown[] }
  return requests.length
}

const goTo = (path: string) => page.goto(`${gateway.url}/console/${path}`)

/** The text of the file that a click on `link` saves, and the name that it has. */
async function save(link: Locator): Promise<{ readonly name: string; readonly text: string }> {
  const saving = page.waitForEvent('download')
  await link.click()
  const saved = await saving
  return { name: saved.suggestedFilename(), text: await readFile(await saved.path(), 'utf8') }
}

const linesOf = (csv: string): string[][] =>
  csv
    .trimEnd()
    .split('\r\n')
    .map((line) => line.split(','))

test('a key is rotated: the new one is shown and works, the old one ends by itself and can be revoked before', async () => {
  const old = await gateway.key({ tenant: 'local', scopes: ['chat'], title: 'notebook', lifeMs: 'never' })
  await goTo('keys')
  const row = (text: string): Locator => page.getByRole('row').filter({ hasText: idOf(text) })
  await row(old).getByText('without end').waitFor()
  await row(old).getByRole('button', { name: 'Rotate notebook' }).click()
  expect(await findFaults(page)).toEqual([])
  await page.getByRole('button', { name: 'Make a new one' }).click()
  const fresh = (await page.getByRole('group', { name: 'The key' }).innerText()).trim()
  expect(idOf(fresh)).not.toBe(idOf(old))
  await page.getByRole('button', { name: 'Close' }).click()
  await row(fresh).getByText('valid').waitFor()
  await row(old)
    .getByText(/^ends in/)
    .waitFor()
  expect([(await chat('small', old)).status, (await chat('small', fresh)).status]).toEqual([200, 200])
  await row(old).getByRole('button', { name: 'Revoke notebook' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
  await row(old).getByText('revoked').waitFor()
  expect(await row(old).getByRole('button').allInnerTexts()).toEqual(['Restore'])
  expect([(await chat('small', old)).status, (await chat('small', fresh)).status]).toEqual([401, 200])
})

test('a revocation holds at once and is undone by the notice of it, or later in the row', async () => {
  const text = await gateway.key({ tenant: 'local', scopes: ['chat'], title: 'of a slip', lifeMs: 'never' })
  const row = page.getByRole('row').filter({ hasText: idOf(text) })
  const revoke = async (): Promise<void> => {
    await row.getByRole('button', { name: 'Revoke of a slip' }).click()
    await page.getByRole('dialog').getByText('For ten minutes').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
    await row.getByText('revoked').waitFor()
    expect((await chat('small', text)).status).toBe(401)
  }
  await goTo('keys')
  await revoke()
  await page.getByText('This can be undone until').waitFor()
  expect(await findFaultsInEveryLook(page)).toEqual([])
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByText('works again').waitFor()
  await row.getByText('valid').waitFor()
  expect((await chat('small', text)).status).toBe(200)
  await revoke()
  await page.reload()
  await row.getByRole('button', { name: 'Restore of a slip' }).click()
  await row.getByText('valid').waitFor()
  expect((await chat('small', text)).status).toBe(200)
})

test('a revocation by a replica that cannot undo it yet is told, without a way back', async () => {
  const text = await gateway.key({ tenant: 'local', scopes: ['chat'], title: 'of old', lifeMs: 'never' })
  await page.route('**/admin/keys/*/revoke', async (route) => {
    const answer = await route.fetch()
    const { restorableUntil: _, ...old } = (await answer.json()) as Record<string, unknown>
    await route.fulfill({ response: answer, json: old })
  })
  await goTo('keys')
  await page.getByRole('button', { name: 'Revoke of old' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
  await page
    .getByRole('status')
    .getByText(`of old (${idOf(text)})`)
    .waitFor()
  expect(await page.getByRole('button', { name: 'Undo' }).count()).toBe(0)
  await page.unroute('**/admin/keys/*/revoke')
})

test('an undo that comes too late is told why, and leaves with its time', async () => {
  const text = await gateway.key({ tenant: 'local', scopes: ['chat'], title: 'gone', lifeMs: 'never' })
  const row = page.getByRole('row').filter({ hasText: idOf(text) })
  await page.clock.install()
  await goTo('keys')
  await row.getByRole('button', { name: 'Revoke gone' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
  await page.getByText('This can be undone until').waitFor()
  const aged = "update api_keys set revoked_at = revoked_at - interval '11 minutes' where id = $1"
  await gateway.database.tx('system', (transaction) => transaction.query(aged, [idOf(text)]))
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByRole('alert').getByText('could be restored until').waitFor()
  expect((await chat('small', text)).status).toBe(401)
  await page.clock.fastForward(11 * 60_000)
  await page.getByRole('button', { name: 'Undo' }).waitFor({ state: 'detached' })
  expect(await row.getByRole('button').count()).toBe(0)
  await page.clock.resume()
})

test('whoever would revoke the key of the own session is told so', async () => {
  await goTo('keys')
  await page
    .getByRole('row')
    .filter({ hasText: idOf(key) })
    .getByRole('button', { name: /^Revoke/ })
    .click()
  await page.getByRole('dialog').getByText('It is the key of your session').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Keep it' }).click()
})

const idOf = (text: string): string => text.split('_')[1] ?? ''

test('keys beyond the first page are shown when they are asked for', async () => {
  await gateway.database.tx('system', ({ query }) =>
    query(`insert into api_keys (id, tenant, kind, digest, pepper, title, scopes, limits, created_at)
      select 'old' || n, 'local', 'secret', ''::bytea, '1', 'old ' || n, '["chat"]', '{}', timestamptz '2020-01-01' + n * interval '1 minute'
      from generate_series(1, 205) as n`),
  )
  onTestFinished(() =>
    gateway.database.tx('system', async ({ query }) => void (await query(`delete from api_keys where created_at < '2021-01-01'`))),
  )
  await page.reload()
  await goTo('keys')
  await page.getByRole('row').filter({ hasText: 'old 205' }).waitFor()
  expect(await page.getByText('old 1', { exact: true }).count()).toBe(0)
  await page.getByRole('button', { name: 'Show more' }).click()
  await page.getByText('old 1', { exact: true }).waitFor()
  expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0)
})

test('a node is added by its URL and removed after a question, and the page follows by itself', async () => {
  const node = await startFakeNode()
  onTestFinished(() => node.close())
  await goTo('fleet')
  await page.getByRole('button', { name: 'Add a node' }).click()
  await page.getByLabel('URL of the Ollama').fill(node.url)
  await page.getByLabel('Name').fill('n1')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await page.getByRole('dialog').getByRole('alert').getByText(/n1/).waitFor()
  expect(await findFaults(page)).toEqual([])
  await page.getByLabel('Name').fill('n2')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  const card = page.getByRole('region', { name: 'n2' })
  await card.getByText('up', { exact: true }).waitFor()
  await card.getByText(node.url).waitFor()
  expect(gateway.app.fleet.nodes.map(({ name }) => name)).toEqual(['n1', 'n2'])
  await card.getByRole('link', { name: 'n2' }).click()
  await page.getByRole('heading', { name: 'n2', level: 1 }).waitFor()
  await page.getByRole('button', { name: 'Remove' }).click()
  await page.getByRole('dialog').getByText('It gets no more requests').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
  await page.getByRole('heading', { name: 'Fleet', level: 1 }).waitFor()
  await page.getByRole('region', { name: 'n1' }).waitFor()
  await page.getByRole('region', { name: 'n2' }).waitFor({ state: 'detached' })
  expect(gateway.app.fleet.nodes.map(({ name }) => name)).toEqual(['n1'])
})

test('the history is narrowed down by model, outcome and status, which stand in the address and in the CSV', async () => {
  const rows = page.getByRole('link', { name: /^Details of request/ })
  const filter = page.getByRole('button', { name: 'Filter' })
  await goTo('history')
  await page.getByRole('cell', { name: 'nobody' }).waitFor()
  await page.getByLabel('Outcome').selectOption('client error')
  await filter.click()
  await expect.poll(() => rows.count()).toBe(1)
  await page.getByRole('cell', { name: 'nobody' }).waitFor()
  await page.getByLabel('Status').fill('4xx')
  await page.getByLabel('Model').fill('small')
  await filter.click()
  await page.getByText('No request matches').waitFor()
  await page.getByLabel('Model').fill('nobody')
  await filter.click()
  await page.getByRole('cell', { name: 'nobody' }).waitFor()
  expect(Object.fromEntries(new URL(page.url()).searchParams)).toEqual({ model: 'nobody', outcome: 'client_error', status: '4xx' })
  await page.reload()
  await page.getByRole('cell', { name: 'nobody' }).waitFor()
  expect([await rows.count(), await page.getByLabel('Status').inputValue()]).toEqual([1, '4xx'])
  const { name, text } = await save(page.getByRole('link', { name: 'CSV' }))
  const [head, ...lines] = linesOf(text)
  expect([name, lines.map((line) => line[head?.indexOf('model') ?? -1])]).toEqual(['requests.csv', ['nobody:latest']])
})

test('usage is summed by what one chooses, in the address and in the CSV', async () => {
  await goTo('usage')
  await page.getByRole('columnheader', { name: 'Model' }).waitFor()
  await page.getByRole('row', { name: /^small/ }).waitFor()
  await page.getByLabel('Sums by').selectOption('key and model')
  await page
    .getByRole('row')
    .filter({ hasText: idOf(key) })
    .filter({ hasText: 'small' })
    .waitFor()
  await page.getByLabel('Time').selectOption('last 30 days')
  await expect.poll(() => Object.fromEntries(new URL(page.url()).searchParams)).toEqual({ by: 'subject,model', days: '30' })
  await page.reload()
  await page.getByRole('columnheader', { name: 'Key' }).waitFor()
  const { name, text } = await save(page.getByRole('link', { name: 'CSV' }))
  const [head, ...lines] = linesOf(text)
  expect([name, head?.slice(0, 3)]).toEqual(['usage.csv', ['subject', 'model', 'requests']])
  const shown = await page.getByRole('group', { name: 'Sums' }).locator('tbody tr').allInnerTexts()
  expect(lines.length).toBe(shown.length)
  for (const [subject = '', model = '', requests = ''] of lines) {
    expect(shown.filter((row) => row.startsWith(`${subject}\t${model}\t${requests}\t`))).toHaveLength(1)
  }
})

test('a capability is switched off and on again, and each time the gateway does as it says', async () => {
  await goTo('settings')
  const row = page.getByRole('group', { name: 'Capabilities' }).getByRole('row', { name: /^routeHeaders/ })
  const nodeTold = async () => (await chat('small')).headers.get('x-corral-node')
  const turn = async (way: 'on' | 'off'): Promise<void> => {
    await row.getByRole('button', { name: `Switch ${way} routeHeaders` }).click()
    await page
      .getByRole('dialog')
      .getByRole('button', { name: `Switch ${way}` })
      .click()
    await row.getByText(way, { exact: true }).waitFor()
  }
  expect(await nodeTold()).toBe('n1')
  await turn('off')
  expect(await nodeTold()).toBeNull()
  await turn('on')
  expect(await nodeTold()).toBe('n1')
  await row.getByRole('button', { name: 'Reset routeHeaders' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Reset' }).click()
  await row.getByText('default', { exact: true }).waitFor()
})

test('the support bundle is saved as a file, without secrets', async () => {
  await goTo('settings')
  const { name, text } = await save(page.getByRole('link', { name: 'Support bundle' }))
  expect(name).toMatch(/^corral-support.*\.json$/)
  expect(JSON.parse(text)).toMatchObject({ version: '0.0.0-test', fleet: expect.anything(), config: expect.anything() })
  expect(text).not.toContain(key)
})

/** Each page by its path, with its heading. */
const pages = {
  '': 'Overview',
  fleet: 'Fleet',
  requests: 'Requests',
  history: 'History',
  keys: 'Keys',
  usage: 'Usage',
  settings: 'Settings',
  api: 'API',
}

test('on the widest screen no page has a fault or is wider than it', async () => {
  const faults: string[][] = []
  for (const [path, heading] of Object.entries(pages)) {
    await goTo(path)
    await page.getByRole('heading', { name: heading, level: 1 }).waitFor()
    await expect.poll(() => page.getByText(/^Loading .*…$/).count()).toBe(0)
    faults.push(await findFaultsOnWidestScreen(page))
  }
  expect(faults.flat()).toEqual([])
})
