/** Chromium with the built console: pages that note every error, and axe. */
import axe from 'axe-core'
import { join } from 'node:path'
import { type Browser, chromium, type Page, type Route } from 'playwright-core'
import { expect } from 'vitest'

import { buildConsole } from '../../scripts/console-build.ts'
import { root } from '../source-tree.ts'

export const builtFolder = join(root, 'dist/console')

/** Debian's chromium, before a console that is built from the present source. */
export async function startBrowser(): Promise<Browser> {
  await buildConsole(builtFolder)
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] })
}

export interface Look {
  readonly width: number
  readonly scheme: 'light' | 'dark'
}

export interface Visit {
  readonly page: Page
  /** Errors of scripts and the policy, as the browser logs them; refusals by the gateway are not among them. */
  readonly errors: readonly string[]
}

/** A fresh browser profile. */
export async function visit(browser: Browser, { width, scheme }: Look): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme })
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  const errors: string[] = []
  page.on('pageerror', ({ message }) => errors.push(message))
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) errors.push(message.text())
  })
  return { page, errors }
}

/** Gives the key to the door that the page shows. */
export async function enterKey(page: Page, key: string): Promise<void> {
  await page.getByLabel('API key').fill(key)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** From the door of the console at `url` to its overview. */
export async function signIn(page: Page, url: string, key: string): Promise<void> {
  await page.goto(`${url}/console/`)
  await enterKey(page, key)
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
}

/** Has a route of the gateway answer with the error `code`. */
export const refuse = (status: number, code: string) => (route: Route) =>
  route.fulfill({ status, json: { code, detail: `this is ${code}` } })

/** Closes the profile; nothing may have gone wrong in it. */
export async function leave({ page, errors }: Visit): Promise<void> {
  await page.context().close()
  expect(errors).toEqual([])
}

interface Violation {
  readonly id: string
  readonly nodes: readonly { readonly html: string }[]
}

export const wide: Look = { width: 1_280, scheme: 'light' }
export const narrow: Look = { width: 375, scheme: 'dark' }
const ultrawide: Look = { width: 2_560, scheme: 'light' }

/** Both widths in both themes. What does not depend on colours is the same in both themes of a width, and looked at in one. */
const looks: readonly (Look & { readonly rules: Rules })[] = [
  { ...wide, rules: 'all' },
  { ...wide, scheme: 'dark', rules: 'colours' },
  { ...narrow, rules: 'all' },
  { ...narrow, scheme: 'light', rules: 'colours' },
]

type Rules = 'all' | 'colours'

/** What is wrong with the page in every look, without loading it anew. It ends in the look that it began with, if that was `wide`. */
export async function findFaultsInEveryLook(page: Page): Promise<string[]> {
  const faults: string[] = []
  for (const { width, scheme, rules } of looks) {
    await takeLook(page, { width, scheme })
    for (const fault of await findFaults(page, rules)) faults.push(`${width} px, ${scheme}: ${fault}`)
  }
  await takeLook(page, wide)
  return faults
}

/** The same on the widest screen that the console is made for. It begins and ends in the look `wide`. */
export async function findFaultsOnWidestScreen(page: Page): Promise<string[]> {
  await takeLook(page, ultrawide)
  const faults = await findFaults(page)
  await takeLook(page, wide)
  return faults
}

async function takeLook(page: Page, { width, scheme }: Look): Promise<void> {
  await page.setViewportSize({ width, height: 900 })
  await page.emulateMedia({ colorScheme: scheme })
}

/** What axe finds wrong with the page as it is now, and whether it is wider than the screen. */
export async function findFaults(page: Page, rules: Rules = 'all'): Promise<string[]> {
  if (!(await page.evaluate<boolean>('"axe" in window'))) await page.evaluate(axe.source)
  const options = { resultTypes: ['violations'], ...(rules === 'all' ? {} : { runOnly: ['color-contrast', 'link-in-text-block'] }) }
  const { violations }: { violations: readonly Violation[] } = await page.evaluate(`axe.run(${JSON.stringify(options)})`)
  const isWide: boolean = await page.evaluate('document.documentElement.scrollWidth > innerWidth')
  return [...violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 200)}`), ...(isWide ? ['wider than the screen'] : [])]
}
