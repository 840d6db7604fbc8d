// What a person sees when things are not as they should be, in a real browser before a gateway without a store: no node answers yet, the
// link drops, everything is full, and a request under way that is to be stopped.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { freePort } from '../support/free-port.ts'
import { type App, createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { answerChat, chatLine, type FakeNode, type Script, startFakeNode } from '../http/fake-node.ts'
import { findFaultsInEveryLook, leave, startBrowser, visit, wide } from './browser.ts'

interface Served {
  readonly url: string
  readonly app: App
}

/** Begins an answer and does not end it. */
const holdChat: Script = (_incoming, outgoing) => {
  outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' }).write(chatLine('hello'))
}

async function serve(nodes: readonly object[], port = 0): Promise<Served> {
  const config = configSchema.parse({
    http: { host: '127.0.0.1', port },
    // A chat that is held is held for as long as the browser needs.
    fleet: { nodes, admission: { slotsAssumed: 1, queueMax: 1 }, deadlines: { idleMsMin: '10m', idleMsMax: '10m' } },
    observe: { log: { level: 'silent', access: false } },
  })
  const app = await createApp({ config, clock: systemClock, version: '0.0.0-test' })
  const listening = await app.listen()
  return { url: `http://127.0.0.1:${listening.port}`, app }
}

let browser: Browser
let node: FakeNode
let gateway: Served
beforeAll(async () => {
  node = await startFakeNode()
  gateway = await serve([{ url: node.url, name: 'n1' }])
  browser = await startBrowser()
}, 120_000)
beforeEach(() => {
  node.script = answerChat
})
afterAll(async () => {
  await browser.close()
  await gateway.app.close(0)
  await node.close()
})

/** A streamed chat that has begun; `text` is all that came of it, at its end. */
async function startChat(signal: AbortSignal): Promise<{ readonly text: Promise<string> }> {
  const body = JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'hi' }] })
  const answer = await fetch(`${gateway.url}/api/chat`, { method: 'POST', body, signal })
  expect(answer.status).toBe(200)
  return { text: answer.text() }
}

test('a request under way shows its model, and is ended from the page', { timeout: 120_000 }, async () => {
  node.script = holdChat
  const arrived = node.arrival()
  const chat = await startChat(new AbortController().signal)
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/requests`)
  const row = page.getByRole('row', { name: /small:latest/ })
  await row.getByText('streaming').waitFor()
  await page.getByRole('button', { name: 'queued 0' }).click()
  await page.getByText('No request is queued').waitFor()
  await page.getByRole('button', { name: 'all 1' }).click()
  expect(await findFaultsInEveryLook(page)).toEqual([])
  await row.getByRole('button', { name: /^Cancel/ }).click()
  await page.getByText('Nothing is under way').waitFor()
  expect(await chat.text).toContain('error')
  await (
    await arrived
  ).cut
  await leave(visited)
})

test('a request that waits shows its place and when it may start, and is cancelled from the page', { timeout: 120_000 }, async () => {
  node.script = holdChat
  const over = new AbortController()
  const first = await startChat(over.signal)
  const text = Promise.allSettled([first.text])
  const body = JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'and I?' }] })
  const waiting = fetch(`${gateway.url}/api/chat`, { method: 'POST', body })
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/requests?phase=queued`)
  const row = page.getByRole('row', { name: /small:latest/ })
  await row.getByRole('cell', { name: '#1', exact: true }).waitFor()
  const columns = await page.getByRole('columnheader').allInnerTexts()
  expect(await row.getByRole('cell').nth(columns.indexOf('Starts in')).innerText()).toMatch(/^[\d.]+ m?s$/)
  expect(await findFaultsInEveryLook(page)).toEqual([])
  await row.getByRole('button', { name: /^Cancel/ }).click()
  await page.getByText('No request is queued').waitFor()
  const refused = await waiting
  expect([refused.ok, await refused.json()]).toMatchObject([false, { error: expect.any(String) }])
  await page.getByRole('button', { name: 'streaming 1' }).waitFor()
  over.abort()
  expect(await text).toMatchObject([{ status: 'rejected', reason: { name: 'AbortError' } }])
  await leave(visited)
})

test('a full queue is told where one looks, and to who asks', { timeout: 120_000 }, async () => {
  node.script = holdChat
  const over = new AbortController()
  const first = await startChat(over.signal)
  const ends = Promise.allSettled([first.text, startChat(over.signal)])
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.goto(`${gateway.url}/console/`)
  await page.getByText('1 request waits', { exact: false }).waitFor()
  await page
    .getByRole('row', { name: /small:latest/ })
    .getByText('1 of 1')
    .waitFor()
  expect(await findFaultsInEveryLook(page)).toEqual([])
  await page.goto(`${gateway.url}/console/playground?model=small`)
  await page.getByLabel('Message').fill('Is there room?')
  await page.getByRole('button', { name: 'Send' }).click()
  await page.getByRole('alert').getByText('queue_full').waitFor()
  expect(await findFaultsInEveryLook(page)).toEqual([])
  over.abort()
  const aborted = { status: 'rejected', reason: { name: 'AbortError' } }
  expect(await ends).toMatchObject([aborted, aborted])
  await leave(visited)
})

test(
  'while no node answers the page says which were tried and why each failed; it follows by itself, also after the link dropped',
  {
    timeout: 120_000,
  },
  async () => {
    const closed = `http://127.0.0.1:${await freePort()}`
    const unknown = 'http://nobody.invalid:11434'
    const lonely = [
      { url: closed, name: 'closed' },
      { url: unknown, name: 'unknown' },
    ]
    const before = await serve(lonely)
    const visited = await visit(browser, wide)
    const { page } = visited
    await page.goto(`${before.url}/console/`)
    await page.getByRole('heading', { name: 'No Ollama answers yet' }).waitFor()
    await page.getByRole('row', { name: closed }).getByText('Nothing listens there').waitFor()
    await page
      .getByRole('row', { name: unknown })
      .getByText(/The name is unknown here|No answer in time/)
      .waitFor()
    expect(await findFaultsInEveryLook(page)).toEqual([])
    await before.app.fleet.addNode({ url: node.url, name: 'n1', headers: {} })
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    await page.getByText('2 of 3 nodes down').waitFor()
    await page.getByRole('status').getByText('Live').waitFor()
    await before.app.close(0)
    await page
      .getByRole('status')
      .getByText(/^Stale for .* reconnecting$/)
      .waitFor()
    expect(await page.getByText('2 of 3 nodes down').count()).toBe(1)
    expect(await findFaultsInEveryLook(page)).toEqual([])
    const after = await serve([{ url: node.url, name: 'n1' }], Number(new URL(before.url).port))
    await page.getByRole('status').getByText('Live').waitFor()
    await page.getByText('The node is up and nothing waits').waitFor()
    await page.context().close()
    await after.app.close(0)
  },
)
