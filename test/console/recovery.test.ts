// What stays on the screen, and what is said, when a script, a read, the push or the clipboard fails, in a real browser.
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type Gateway, startGateway } from '../support/gateway.ts'
import { findFaultsInEveryLook, leave, refuse, startBrowser, visit, wide } from './browser.ts'

let browser: Browser
let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({ nodes: 1, keepOpen: true })
  browser = await startBrowser()
}, 120_000)
afterAll(async () => {
  await browser.close()
  await gateway.close()
})

const at = (path: string): string => `${gateway.url}/console/${path}`
const openPage = (page: Page, name: string): Promise<void> => page.getByRole('navigation').getByRole('link', { name }).click()

test('a page whose script does not come says so, the way to the others stays, and it is tried again', async () => {
  const { page, errors } = await visit(browser, wide)
  await page.route('**/assets/usage-*.js', (route) => route.abort())
  await page.goto(at(''))
  await openPage(page, 'Usage')
  await page.getByRole('heading', { name: 'This page cannot be shown' }).waitFor()
  expect(await findFaultsInEveryLook(page)).toEqual([])
  await openPage(page, 'Fleet')
  await page.getByRole('heading', { name: 'Fleet' }).waitFor()
  await openPage(page, 'Usage')
  await page.unroute('**/assets/usage-*.js')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByRole('heading', { name: 'Usage' }).waitFor()
  expect(errors.every((error) => error.includes('/assets/usage-'))).toBe(true)
  await page.context().close()
})

test('an address that was mistyped shows a page, not nothing', async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(at(''))
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  await page.evaluate(`history.pushState(null, '', '/console/fleet/%E0%A4%A'); dispatchEvent(new PopStateEvent('popstate'))`)
  await page.getByText('There is no node of this name').waitFor()
  await page.goto(at('usage?days=many'))
  await page.getByRole('combobox', { name: 'Time' }).waitFor()
  expect(await page.getByRole('combobox', { name: 'Time' }).inputValue()).toBe('7')
  await leave(visited)
})

test('text is copied also over plain http, where a page has no clipboard', async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.addInitScript(`Object.defineProperty(window, 'isSecureContext', { value: false })
    Object.defineProperty(navigator, 'clipboard', { value: undefined })`)
  await page.goto(at('playground'))
  await page.getByRole('button', { name: 'Copy as…' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Copy', exact: true }).first().click()
  await page.getByRole('dialog').getByRole('button', { name: 'Copied' }).waitFor()
  await page.getByRole('button', { name: 'Close' }).click()
  await page.getByLabel('Message').press('Control+V')
  expect(await page.getByLabel('Message').inputValue()).toContain('/v1/chat/completions')
  await leave(visited)
})

test('a conversation outlives a list of models that cannot be read again', async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.clock.install()
  await page.goto(at('playground'))
  await page.getByLabel('Message').fill('Is anybody there?')
  await page.getByRole('button', { name: 'Send' }).click()
  await page.getByText(/^first token/).waitFor()
  await page.route('**/api/tags', refuse(403, 'forbidden'))
  // What was read some seconds ago is read again when one comes back to the page.
  await page.clock.fastForward(10_000)
  await page.evaluate(`document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))`)
  await page.getByRole('alert').getByText('this is forbidden').waitFor()
  expect(await page.getByText('Is anybody there?').count()).toBe(1)
  await leave(visited)
})

test('a dropped file that cannot be read is told', async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(at('documents?in=notes'))
  await page.getByText('Drop files or a folder here.').waitFor()
  await page.evaluate(`{
    const file = (done, failed) => failed(new DOMException('The disk was taken out.', 'NotReadableError'))
    const entry = { isFile: true, isDirectory: false, fullPath: '/a.md', file }
    const drop = new Event('drop', { bubbles: true, cancelable: true })
    Object.defineProperty(drop, 'dataTransfer', { value: { items: [{ webkitGetAsEntry: () => entry }] } })
    document.querySelector('section[aria-label="Add documents"] strong').dispatchEvent(drop)
  }`)
  await page.getByRole('alert').getByText('The disk was taken out.').waitFor()
  await leave(visited)
})

test('a push that opens and never says anything counts as broken', async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.clock.install()
  let asked = 0
  await page.route('**/admin/live', (route) => {
    asked += 1
    // The first is never answered.
    return asked === 1 ? undefined : route.continue()
  })
  await page.goto(at(''))
  const link = page.getByRole('status').filter({ hasText: /Connecting|Stale|Live/ })
  await link.getByText('Connecting').waitFor()
  await page.clock.pauseAt(Date.now() + 60_000)
  await link.getByText('Stale, reconnecting').waitFor()
  await page.clock.resume()
  await link.getByText('Live').waitFor()
  await leave(visited)
})
