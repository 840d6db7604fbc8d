// The history of requests and one request of it, in a real browser.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'

import type { HistoryDetail } from '../../src/core/request-history.ts'
import { type Gateway, startGateway } from '../support/gateway.ts'
import { findFaults, findFaultsInEveryLook, leave, refuse, startBrowser, visit, wide } from './browser.ts'

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

const entry: HistoryDetail = {
  id: 'r-1',
  at: '2026-11-01T00:00:00.000Z',
  tenant: 'local',
  subject: null,
  model: 'small',
  node: 'n1',
  route: '/api/chat',
  status: 200,
  outcome: 'ok',
  error: null,
  cache: null,
  stream: true,
  attempts: 1,
  durationMs: 90,
  ttftMs: 30,
  promptTokens: 5,
  cachedPromptTokens: 0,
  outputTokens: 7,
  gpuSeconds: 0.1,
  reason: 'only',
  queueMs: 1,
  retryMs: 0,
  loadMs: null,
  promptMs: 9,
  outputMs: 60,
  estimated: false,
  prompt: null,
  promptCut: false,
  answer: null,
  answerCut: false,
}

/** Requests r-0, r-1, … in this order. */
const entries = (count: number): HistoryDetail[] => Array.from({ length: count }, (_, index) => ({ ...entry, id: `r-${index}` }))

test('scrolling shows each row at its place, in elements that were there before', async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.route('**/admin/requests/history?*', (route) => route.fulfill({ json: { requests: entries(2_000), next: null } }))
  await page.goto(at('history'))
  const link = (index: number) => page.getByRole('link', { name: `Details of request r-${index}`, exact: true })
  const scrollTo = (row: number) => page.evaluate(`document.querySelector('[role=table]').scrollTop = ${row} * 40`)
  await link(0).waitFor()
  // Away from either end as many rows are there as there ever are.
  await scrollTo(300)
  await link(305).waitFor()
  const rowsMade = () =>
    page.evaluate<number>(`(() => {
    const made = [...document.querySelectorAll('[role=table] [role=row]')].filter((row) => row.wasSeen !== true)
    made.forEach((row) => (row.wasSeen = true))
    return made.length
  })()`)
  expect(await rowsMade()).toBeGreaterThan(15)
  for (const row of [301, 305, 700, 1_640, 299]) {
    await scrollTo(row)
    await link(row + 5).waitFor()
    // Each row stands where its number says, and says whose it is.
    const misplaced = await page.evaluate(`[...document.querySelectorAll('[role=table] [role=rowgroup] [role=row]')].filter((row) => {
      const index = Number(row.getAttribute('aria-rowindex')) - 2
      return row.offsetTop !== index * 40 || row.querySelector('a').getAttribute('href') !== '/console/history/r-' + index
    }).length`)
    expect(misplaced).toBe(0)
    // Which one of the slots is empty changes with the range.
    expect(await rowsMade()).toBeLessThanOrEqual(1)
  }
  expect(await findFaults(page)).toEqual([])
  await leave(visited)
})

test('a further page of the history that fails is asked for once, and the rows before it stay', async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  const asked: (string | null)[] = []
  await page.route('**/admin/requests/history?*', (route) => {
    const before = new URL(route.request().url()).searchParams.get('before')
    asked.push(before)
    if (before !== null) return refuse(400, 'invalid_request')(route)
    return route.fulfill({ json: { requests: entries(5), next: 'more' } })
  })
  await page.goto(at('history'))
  await page.getByRole('alert').getByText('this is invalid_request').waitFor()
  expect(await findFaultsInEveryLook(page)).toEqual([])
  expect(await page.getByRole('link', { name: /^Details of request/ }).count()).toBe(5)
  expect(asked).toEqual([null, 'more'])
  await leave(visited)
})

test('decisions that were not kept are told from those that cannot be read', async () => {
  const visited = await visit(browser, wide)
  const { page } = visited
  await page.route('**/admin/requests/history/r-1', (route) => route.fulfill({ json: entry }))
  await page.route('**/admin/requests/r-1/explain', refuse(503, 'store_unavailable'))
  await page.goto(at('history/r-1'))
  await page.getByRole('button', { name: 'Show the decisions' }).click()
  await page.getByRole('alert').getByText('this is store_unavailable').waitFor()
  expect(await page.getByText('Not kept').count()).toBe(0)
  expect(await findFaults(page)).toEqual([])
  await page.unroute('**/admin/requests/r-1/explain')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByText('Not kept').waitFor()
  await leave(visited)
})
