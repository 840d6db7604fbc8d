// The playground in a real browser before a gateway with documents: an answer as it streams, stopped, failed, and cited with its passage marked.
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { type RagGateway, startRagGateway } from '../rag/rag-gateway.ts'
import { quoteAll } from '../rag/scripted-fleet.ts'
import { findFaults, findFaultsInEveryLook, leave, narrow, startBrowser, visit, wide } from './browser.ts'
import { documents, fillHandbook } from './handbook.ts'

const hostile = '## Sky\n\nIt is **blue**.\n\n- <img src=x onerror=alert(1)>\n- [no](javascript:alert(1))\n\n```js\nconst a = 1\n```'

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
beforeEach(() => {
  gateway.fleet.script = quoteAll
  gateway.fleet.atHalf = () => undefined
})

async function say(page: Page, message: string): Promise<void> {
  await page.getByLabel('Message').fill(message)
  await page.getByRole('button', { name: 'Send' }).click()
}

test('a cited answer opens its passage, without a fault at both widths in both themes', { timeout: 120_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/playground?in=handbook&temperature=0`)
  await page.getByText('It answers from handbook').waitFor()
  const faults = [await findFaultsInEveryLook(page)]
  await say(page, 'How many days of paid leave do employees have?')
  await page.getByText('first token').waitFor()
  faults.push(await findFaultsInEveryLook(page))
  await page.getByRole('button', { name: 'Citation 1: Leave' }).first().click()
  const marked = await page.getByRole('dialog').locator('mark').innerText()
  expect(documents['leave.md']).toContain(marked)
  faults.push(await findFaultsInEveryLook(page))
  expect(faults.flat()).toEqual([])
  await leave(visited)
})

test('an answer is rendered as text only: nothing of it becomes an image, a script or a link to one', { timeout: 60_000 }, async () => {
  gateway.fleet.script = () => hostile
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/playground`)
  await say(page, 'Why is the sky blue?')
  await page.getByText('300 tokens in').waitFor()
  const answer = page.getByRole('list', { name: 'Exchanges' })
  expect(await answer.locator('strong').innerText()).toBe('blue')
  expect(await answer.getByRole('group', { name: 'Code' }).innerText()).toBe('const a = 1')
  expect(await answer.locator('img, script, a').count()).toBe(0)
  await answer.getByText('<img src=x onerror=alert(1)>').waitFor()
  expect(await findFaults(page)).toEqual([])
  await leave(visited)
})

test('what has come is shown while the rest is awaited, and stop ends it', { timeout: 60_000 }, async () => {
  const held = Promise.withResolvers<undefined>()
  gateway.fleet.script = () => 'The first half, and the second half.'
  gateway.fleet.atHalf = () => held.promise
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/playground`)
  await say(page, 'Tell me both halves.')
  await page.getByText('The first half').waitFor()
  expect(await findFaults(page)).toEqual([])
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByText('stopped').waitFor()
  held.resolve(undefined)
  expect(await page.getByText('and the second half').count()).toBe(0)
  await leave(visited)
})

/** Presses Tab until what has the focus is `wanted`, as a person without a mouse does. */
async function tabTo(page: Page, wanted: Locator): Promise<void> {
  await wanted.waitFor()
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press('Tab')
    if (await wanted.evaluate((element) => element.matches(':focus'))) return
  }
  throw new Error(`the keyboard does not come to ${wanted.toString()}`)
}

test('by keyboard alone one comes to the playground, asks, and stops the answer', { timeout: 60_000 }, async () => {
  const held = Promise.withResolvers<undefined>()
  gateway.fleet.script = () => 'The first half, and the second half.'
  gateway.fleet.atHalf = () => held.promise
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/`)
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  await tabTo(page, page.getByRole('navigation').getByRole('link', { name: 'Playground' }))
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Playground' }).waitFor()
  await page.reload()
  const skip = page.getByRole('link', { name: 'Skip to content' })
  await tabTo(page, skip)
  await page.keyboard.press('Enter')
  await expect.poll(() => page.locator('main').evaluate((element) => element.matches(':focus'))).toBe(true)
  await tabTo(page, page.getByLabel('Message'))
  await page.keyboard.type('Tell me both halves.')
  await page.keyboard.press('Enter')
  await page.getByText('The first half').waitFor()
  await tabTo(page, page.getByRole('button', { name: 'Stop' }))
  await page.keyboard.press('Enter')
  await page.getByText('stopped').waitFor()
  held.resolve(undefined)
  expect(gateway.fleet.prompted.at(-1)?.question).toBe('Tell me both halves.')
  await leave(visited)
})

test('system prompt and parameters reach the model, stand in the address, and in the snippets', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/playground`)
  await page.getByLabel('System prompt').fill('Be brief.')
  await page.getByLabel('Temperature').fill('0.5')
  await page.getByLabel('Tokens at most').fill('99')
  await page.reload()
  gateway.fleet.script = () => 'Yes.'
  await say(page, "Isn't it?")
  await page.getByText('300 tokens in').waitFor()
  const { system, question, body } = gateway.fleet.prompted.at(-1) ?? {}
  expect([system, question, body]).toMatchObject(['Be brief.', "Isn't it?", { temperature: 0.5, max_tokens: 99 }])
  await page.getByRole('button', { name: 'Copy as' }).click()
  const curl = await page.getByRole('group', { name: 'curl' }).innerText()
  expect(curl).toContain(String.raw`"content":"Isn'\''t it?"`)
  for (const name of ['Python', 'JavaScript']) expect(await page.getByRole('group', { name }).innerText()).toContain('/v1/chat/completions')
  expect(await page.getByRole('group', { name: 'ollama' }).innerText()).toContain(`${gateway.url}/api/chat`)
  expect(await findFaults(page)).toEqual([])
  await leave(visited)
})

test('a model that nobody has is told as a failure', { timeout: 60_000 }, async () => {
  const visited = await visit(browser, narrow)
  const { page } = visited
  await page.goto(`${gateway.url}/console/playground?model=nobody`)
  await say(page, 'Hello?')
  await page
    .getByRole('alert')
    .getByText(/nobody.*not found/)
    .waitFor()
  await page.getByText('failed', { exact: true }).waitFor()
  expect(await findFaults(page)).toEqual([])
  await leave(visited)
})
