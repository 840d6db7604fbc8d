// The console, the manual and redirects below a path that nginx takes off, with the block of docs/deploy.md.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { type FrontProxy, hasProxy, startProxy } from '../support/front-proxies.ts'
import { type Gateway, startGateway } from '../support/gateway.ts'
import { leave, startBrowser, visit, wide } from './browser.ts'

const belowAPath = 1

describe.runIf(hasProxy('nginx'))('below /llm', () => {
  let gateway: Gateway
  let front: FrontProxy
  let browser: Browser
  let url: string
  beforeAll(async () => {
    gateway = await startGateway({ nodes: [{ name: 'gpu-1' }], keepOpen: true })
    front = await startProxy('nginx', [gateway.port], belowAPath)
    browser = await startBrowser()
    url = `${front.url}/llm`
  }, 180_000)
  afterAll(async () => {
    await browser.close()
    await front.stop()
    await gateway.close()
  })

  test('pages load at any depth, follow the live feed, lead to each other, and call the gateway', { timeout: 120_000 }, async () => {
    const visited = await visit(browser, wide)
    const { page } = visited
    const outside: string[] = []
    page.on('request', (request) => {
      if (!request.url().startsWith(`${url}/`)) outside.push(request.url())
    })
    await page.goto(`${url}/console/fleet/gpu-1`)
    await page.getByRole('heading', { name: 'gpu-1' }).first().waitFor()
    await page.getByRole('navigation').getByRole('link', { name: 'Playground' }).click()
    await page.getByRole('heading', { name: 'Playground' }).waitFor()
    expect(new URL(page.url()).pathname).toBe('/llm/console/playground')
    await page.getByLabel('Message').fill('Why is the sky blue?')
    await page.getByRole('button', { name: 'Send' }).click()
    await page.getByText('first token').waitFor()
    await page.getByRole('button', { name: 'Copy as…' }).click()
    await page.getByRole('dialog').getByText(`curl -N '${url}/v1/chat/completions'`).waitFor()
    await page.goto(`${url}/console/settings`)
    const bundle = page.getByRole('link', { name: /bundle/i })
    expect(await bundle.getAttribute('href')).toBe('/llm/admin/support-bundle')
    await page.goBack()
    await page.reload()
    await page.getByRole('heading', { name: 'Playground' }).waitFor()
    expect(outside).toEqual([])
    await leave(visited)
  })

  test('the manual leads from page to page and to the console', { timeout: 60_000 }, async () => {
    const visited = await visit(browser, wide)
    const { page } = visited
    await page.goto(`${url}/docs/runbooks/CorralNoNode`)
    await page.getByRole('link', { name: 'Corral: the manual' }).click()
    await page.waitForURL(`${url}/docs/`)
    await page.getByRole('link', { name: 'Console', exact: true }).click()
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    await leave(visited)
  })

  test.each([
    ['/llm/', '/llm/console/'],
    ['/llm/console', '/llm/console/'],
    ['/llm/docs', '/llm/docs/'],
    ['/llm/api/tags/', '/llm/api/tags'],
  ])('%s leads to %s', async (from, to) => {
    const { headers } = await fetch(front.url + from, { redirect: 'manual', headers: { accept: 'text/html' } })
    expect(new URL(headers.get('location') ?? '', front.url).pathname).toBe(to)
  })
})
