// Routes are tried on the API page, in a real browser before a gateway that wants keys: sent with the session's rights, answered in place, streams
// as they come until somebody stops them, changes after a question, and the same as curl without any secret.
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { scopes } from '../../src/core/principal.ts'
import { operatorAct } from '../identity/fixture.ts'
import { type ClosedGateway, startClosedGateway } from '../identity/gateway.ts'
import { answerChat, chatLine } from '../http/fake-node.ts'
import { enterKey, findFaults, findFaultsInEveryLook, leave, signIn, startBrowser, visit, type Visit, wide } from './browser.ts'

let gateway: ClosedGateway
let browser: Browser
let visited: Visit
let page: Page
let key: string
beforeAll(async () => {
  gateway = await startClosedGateway()
  browser = await startBrowser()
  key = await gateway.key({ tenant: 'local', scopes: [...scopes], title: 'of the operator', lifeMs: 'never' })
  visited = await visit(browser, wide)
  page = visited.page
  await signIn(page, gateway.url, key)
}, 180_000)
afterAll(async () => {
  await leave(visited)
  await browser.close()
  await gateway.close()
})

/** The form and the answer of a route, whose address opens it. */
async function open(route: string): Promise<{ readonly form: Locator; readonly answer: Locator; readonly send: () => Promise<void> }> {
  await page.goto(`${gateway.url}/console/api?${new URLSearchParams({ route }).toString()}`)
  const form = page.getByRole('form', { name: `Try ${route.replaceAll(/:(\w+)/g, '{$1}')}` })
  await form.waitFor()
  return {
    form,
    answer: page.getByRole('region', { name: 'Answer' }),
    send: () => form.getByRole('button', { name: 'Send', exact: true }).click(),
  }
}

const bodyOf = (answer: Locator): Locator => answer.getByRole('group', { name: 'Body of the answer' })

test('a chat is sent to a model that is there, and answered in place with status, time, node and the way to its history', async () => {
  const { form, answer, send } = await open('POST /api/chat')
  await expect.poll(() => form.getByLabel('Body').inputValue()).toContain('"model": "house"')
  expect(await findFaultsInEveryLook(page)).toEqual([])
  await send()
  await answer.getByText(/^head after .* · whole /).waitFor()
  await answer.getByText('200', { exact: true }).waitFor()
  expect(await answer.getByRole('definition').filter({ hasText: 'n1' }).count()).toBe(1)
  expect(await bodyOf(answer).innerText()).toContain('"content":"hello"')
  expect(await findFaultsInEveryLook(page)).toEqual([])
  await answer.getByRole('link').click()
  await page.getByRole('heading', { name: 'Request', level: 1 }).waitFor()
})

test('the request as curl names the key of the environment, and is the one that was sent', async () => {
  const { form } = await open('POST /v1/messages')
  const text = `{"model":"small","max_tokens":9,"messages":[{"role":"user","content":"it's"}]}`
  await form.getByLabel('Body').fill(text)
  const curl = await page.getByRole('group', { name: 'As curl' }).innerText()
  expect(curl).toBe(
    [
      `curl -N '${gateway.url}/v1/messages' \\`,
      '  -H "authorization: Bearer $CORRAL_API_KEY" \\',
      "  -H 'content-type: application/json' \\",
      `  -d '${text.replace("'", String.raw`'\''`)}'`,
    ].join('\n'),
  )
  expect(await page.content()).not.toContain(key.split('_')[2])
  await form.getByRole('button', { name: 'Example again' }).click()
  expect(await form.getByLabel('Body').inputValue()).toContain('Why is the sky blue?')
})

test('a stream is shown as it comes, and Stop ends it at the node', async () => {
  gateway.node.script = (_incoming, outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' })
    outgoing.write(chatLine('one '))
  }
  const arrival = gateway.node.arrival()
  const { form, answer, send } = await open('POST /api/chat')
  await send()
  await answer.getByText('200, coming').waitFor()
  await bodyOf(answer).getByText('"one "').waitFor()
  expect(await form.getByRole('button', { name: 'Send', exact: true }).isDisabled()).toBe(true)
  await form.getByRole('button', { name: 'Stop' }).click()
  await answer.getByText('200, stopped').waitFor()
  await (
    await arrival
  ).cut
  gateway.node.script = answerChat
})

test('what is no JSON is not sent, and a refusal is an answer with its words', async () => {
  const { form, answer, send } = await open('POST /admin/tokens/revoke')
  await form.getByLabel('Body').fill('{"issuer":')
  await form.getByText('The body is no JSON').waitFor()
  expect(await form.getByRole('button', { name: 'Send', exact: true }).isDisabled()).toBe(true)
  await form.getByLabel('Body').fill('{"issuer":"https://nobody.example","more":1}')
  await send()
  await page.getByRole('dialog').getByRole('button', { name: 'Send it' }).click()
  await answer.getByText('400', { exact: true }).waitFor()
  expect(await bodyOf(answer).innerText()).toContain('"code": "invalid_request"')
  expect(await findFaults(page)).toEqual([])
})

test('a change is sent after a question only, to the path that was filled in', async () => {
  const { form, answer, send } = await open('PUT /admin/tenants/:tenant')
  await send()
  // A part of the path is missing: the browser says so.
  expect(await page.getByRole('dialog').count()).toBe(0)
  await form.getByLabel('tenant').fill('team-a')
  await send()
  await page.getByRole('dialog').getByText('PUT /admin/tenants/team-a').waitFor()
  expect(await findFaults(page)).toEqual([])
  await page.getByRole('dialog').getByRole('button', { name: 'Do not send' }).click()
  const tenants = async () => (await gateway.identity.tenants.list(operatorAct.by)).tenants.map(({ tenant }) => tenant)
  expect(await tenants()).not.toContain('team-a')
  await send()
  await page.getByRole('dialog').getByRole('button', { name: 'Send it' }).click()
  await answer.getByText('200', { exact: true }).waitFor()
  expect(await tenants()).toContain('team-a')
})

test('a query is part of the address that is asked', async () => {
  const { form, answer, send } = await open('GET /admin/keys')
  await form.getByLabel('tenant').fill('team-a')
  await send()
  await answer.getByText('200', { exact: true }).waitFor()
  expect(JSON.parse(await bodyOf(answer).innerText())).toEqual({ keys: [], next: null })
  expect(await page.getByRole('group', { name: 'As curl' }).innerText()).toContain(`${gateway.url}/admin/keys?tenant=team-a'`)
})

test('bytes that are not shown are saved from where they came, whatever is filled in by then', async () => {
  await page.route('**/admin/keys?*', (route) => route.fulfill({ contentType: 'application/octet-stream', body: Buffer.from([0, 1, 2]) }))
  const { form, answer, send } = await open('GET /admin/keys')
  await form.getByLabel('tenant').fill('team-a')
  await send()
  const link = answer.getByRole('link', { name: 'Save them' })
  await link.waitFor()
  await form.getByLabel('tenant').fill('team-b')
  expect(await link.getAttribute('href')).toBe('/admin/keys?tenant=team-a')
  await page.unroute('**/admin/keys?*')
})

test('a route of the description is tried with its example', async () => {
  const made = await open('POST /rag/collections')
  await made.send()
  await page.getByRole('dialog').getByRole('button', { name: 'Send it' }).click()
  await made.answer.getByText('201', { exact: true }).waitFor()
  const searched = await open('POST /rag/search')
  await expect.poll(() => searched.form.getByLabel('Body').inputValue()).toContain('"collection": "handbook"')
  await searched.form.getByLabel('Body').fill('{"collection":"handbook","query":"days off","mode":"keyword"}')
  await searched.send()
  await searched.answer.getByText('200', { exact: true }).waitFor()
  expect(await bodyOf(searched.answer).innerText()).toContain('"results": []')
})

test('the route that was opened last is in the address', async () => {
  await page.goto(`${gateway.url}/console/api?q=/admin/fleet`)
  await page.getByText('GET /admin/fleet').click()
  await page.getByRole('form', { name: 'Try GET /admin/fleet' }).waitFor()
  await expect.poll(() => new URL(page.url()).searchParams.get('route')).toBe('GET /admin/fleet')
  await page.getByText('GET /admin/fleet').click()
  await page.getByRole('form', { name: 'Try GET /admin/fleet' }).waitFor({ state: 'detached' })
  await expect.poll(() => new URL(page.url()).searchParams.get('route')).toBe(null)
})

test('a session whose key was revoked meanwhile is told at the door, as everywhere', async () => {
  const passing = await gateway.key({ tenant: 'local', scopes: [...scopes], title: 'of a day' })
  const other = await visit(browser, wide)
  await other.page.goto(`${gateway.url}/console/api?route=GET+%2Fadmin%2Ffleet`)
  await enterKey(other.page, passing)
  const form = other.page.getByRole('form', { name: 'Try GET /admin/fleet' })
  await form.getByText(`key ${passing.split('_')[1]} of local`).waitFor()
  await gateway.identity.keys.revoke(passing.split('_')[1] ?? '', 'lost', operatorAct)
  await form.getByRole('button', { name: 'Send', exact: true }).click()
  await other.page.getByLabel('API key').waitFor()
  await leave(other)
})
