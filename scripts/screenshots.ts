// `npm run screenshots`: the console before a gateway with eight simulated nodes and some traffic, as docs/images/*.png.
// --all FOLDER: instead every page in both themes, wide and narrow, to look at. Wants Debian's chromium.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Browser, chromium } from 'playwright-core'

import { createHerd } from '../src/sim/herd.ts'
import { buildConsole } from './console-build.ts'
import { runCorral } from './demo/command.ts'
import { type DemoGateway, startGateway } from './demo/gateway.ts'
import { chat, warmUp } from './demo/requests.ts'

interface Shot {
  /** Of the file, without its ending. */
  readonly name: string
  /** Below `/console/`. */
  readonly path: string
  /** Shown as soon as the page has its data. */
  readonly shown: string
  /** Clicked before the picture is taken. */
  readonly click?: string
}

interface Look {
  readonly width: number
  readonly height: number
  readonly scheme: 'light' | 'dark'
}

const root = join(import.meta.dirname, '..')
const chatModel = 'llama3.2:3b'
const embedModel = 'nomic-embed-text'
const topics = ['herds', 'queues', 'breakers', 'caches', 'nodes', 'tokens']
/** Under way while the pictures are taken. */
const askers = 10
const storeSecondsMax = 60
/** Before the documented pictures, so that the lines over time have something to show. */
const trafficMs = 40_000

const documented: readonly Shot[] = [
  { name: 'overview', path: '', shown: 'Requests/s' },
  { name: 'fleet', path: 'fleet', shown: 'Requests/s' },
  { name: 'documents', path: 'documents?in=docs', shown: 'docs' },
  { name: 'search', path: 'search?in=docs&q=what+happens+when+a+node+fails', shown: 'rank' },
]
const others: readonly Shot[] = [
  { name: 'node', path: 'fleet/node-1', shown: 'Models on disk' },
  { name: 'requests', path: 'requests', shown: 'Cancel' },
  { name: 'history', path: 'history', shown: chatModel },
  { name: 'request', path: 'history', shown: chatModel, click: 'a[aria-label^="Details of request"]' },
  { name: 'playground', path: 'playground?in=docs', shown: 'It answers from docs' },
  { name: 'keys', path: 'keys', shown: 'notebook' },
  { name: 'create-key', path: 'keys', shown: 'notebook', click: 'text=Create a key' },
  { name: 'usage', path: 'usage', shown: 'GPU seconds' },
  { name: 'settings', path: 'settings', shown: 'fleet.nodes' },
  { name: 'api', path: 'api', shown: '/rag/search' },
  { name: 'api-open', path: 'api?q=rag/search', shown: '/rag/search', click: 'summary' },
]

const { values: flags } = parseArgs({ options: { all: { type: 'string' } } })
await buildConsole(join(root, 'dist/console'))
const herd = await createHerd({ nodes: 8, speed: 4, embedMsPerItem: 64 })
const gateway = await startGateway(herd.nodes, 11_435)
const over = new AbortController()
try {
  await warmUp(herd.urls, { chatModel, embedModel })
  await storeOf(gateway.url)
  await makeKeys(gateway.url)
  const ingested = await runCorral(gateway.url, ['ingest', join(root, 'docs'), '--collection', 'docs', '--exclude', 'images/**'])
  if (!ingested.ok) throw new Error(`no documents were taken in: ${ingested.stderr}`)
  await Promise.all(topics.map((topic) => chat(gateway.url, chatModel, `A word on ${topic}`)))
  const traffic = Array.from({ length: askers }, (_, asker) => ask(gateway, asker))
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] })
  await takeAll(browser, gateway)
  await browser.close()
  over.abort()
  await Promise.all(traffic)
} finally {
  await gateway.close()
  await herd.close()
}

async function ask({ url }: DemoGateway, asker: number): Promise<void> {
  for (let turn = 0; !over.signal.aborted; turn++) {
    await chat(url, chatModel, `Tell me of ${topics[(asker + turn) % topics.length]}, ${asker}.${turn}`)
  }
}

/** The embedded store takes its time; until then it is 503. */
async function storeOf(url: string): Promise<void> {
  for (let tries = 0; tries < storeSecondsMax; tries++) {
    if ((await (await fetch(`${url}/admin/tenants`)).text()).includes('"local"')) return
    await sleep(1_000)
  }
  throw new Error(`the store did not open within ${storeSecondsMax} s`)
}

async function makeKeys(url: string): Promise<void> {
  for (const [title, scopes] of [
    ['notebook', ['chat', 'embed', 'models:read']],
    ['search service', ['rag:read']],
  ] as const) {
    const body = JSON.stringify({ title, scopes, expiresIn: '90d', limits: { requestsPerMinute: 60 } })
    const response = await fetch(`${url}/admin/keys`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    if (!response.ok) throw new Error(`no key was made: ${await response.text()}`)
  }
}

async function takeAll(browser: Browser, { url }: DemoGateway): Promise<void> {
  if (flags.all === undefined) {
    await sleep(trafficMs)
    await take(browser, { url, folder: join(root, 'docs/images'), shots: documented, look: { width: 1_440, height: 900, scheme: 'light' } })
    return
  }
  for (const width of [1_440, 375]) {
    for (const scheme of ['light', 'dark'] as const) {
      const folder = join(flags.all, `${width}-${scheme}`)
      await take(browser, { url, folder, shots: [...documented, ...others], look: { width, height: 900, scheme } })
    }
  }
}

interface Taking {
  readonly url: string
  readonly folder: string
  readonly shots: readonly Shot[]
  readonly look: Look
}

async function take(browser: Browser, { url, folder, shots, look: { width, height, scheme } }: Taking): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme })
  const page = await context.newPage()
  for (const { name, path, shown, click } of shots) {
    await page.goto(`${url}/console/${path}`)
    await page.getByText(shown).first().waitFor()
    if (click !== undefined) await page.locator(click).first().click()
    // The live pages get their next second first, the others what they load after a click.
    await sleep(1_500)
    await page.screenshot({ path: join(folder, `${name}.png`) })
    console.log(join(folder, `${name}.png`))
  }
  await context.close()
}
