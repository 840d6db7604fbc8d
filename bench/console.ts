/**
 * How the console feels: Debian's chromium before a gateway with the demo's eight simulated nodes, an embedded store and chats under way. First
 * content on the screen and the scripts of a first load, each time in a fresh profile; the delay of every kind of input; and a history of
 * 10,000 requests, scrolled from its first row to its last while its pages come in, and back.
 */
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { type Browser, chromium, type Page } from 'playwright-core'

import { systemClock } from '../src/base/clock.ts'
import { createHerd } from '../src/sim/herd.ts'
import { chat, warmUp } from '../scripts/demo/requests.ts'
import { type FirstLoad, type Input, measureInput, openConsole, readFirstLoad, type Tasks, tasksOf } from './harness/console-visit.ts'
import { atLeast, atMost, benchResult, type BenchOptions, type BenchResult, rounded } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { onStage, type Stage } from './harness/stage.ts'

const chatModel = 'llama3.2:3b'
const embedModel = 'nomic-embed-text'
const historyRows = 10_000
/** Chats under way all the time, as in the demo. */
const askers = 10
const wheelPixels = 2_400
const storeMsMax = 60_000

/** The same text again and again: all but the first are answered from the cache, and each is a row of the history. */
async function fillHistory(stage: Stage, port: number): Promise<void> {
  const driver = await stage.driver()
  const body = JSON.stringify({ model: embedModel, input: 'How many head of cattle stand in the north pasture?' })
  await driver.start({ port, path: '/api/embed', body, connections: 16, requestsMax: historyRows })
  await driver.all()
  const { kinds } = await driver.finish()
  if ((kinds['ok'] ?? 0) < historyRows) throw new Error(`the history was not filled: ${JSON.stringify(kinds)}`)
}

/** The embedded store takes its time. */
async function untilStored(url: string): Promise<void> {
  const endMs = systemClock.nowMs() + storeMsMax
  while ((await fetch(`${url}/admin/usage`)).status !== 200) {
    if (systemClock.nowMs() > endMs) throw new Error('the store did not open')
    await systemClock.sleep(100)
  }
}

/** Bytes on the wire of these files for a client that takes gzip. */
async function gzipBytes(addresses: readonly string[]): Promise<number> {
  const sizes = addresses.map(async (address) => {
    const [response]: IncomingMessage[] = await once(get(address, { headers: { 'accept-encoding': 'gzip' } }), 'response')
    if (response?.headers['content-encoding'] !== 'gzip') throw new Error(`${address} is not compressed`)
    let bytes = 0
    for await (const chunk of response) bytes += chunk.length
    return bytes
  })
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

const goTo = async (page: Page, name: string): Promise<void> => {
  await page.getByRole('navigation').getByRole('link', { name, exact: true }).click()
  await page.getByRole('heading', { name, level: 1 }).waitFor()
}

/** Every kind of input there is: to another page, the first time and again, a letter into a search over much, a row, a filter, a dialog. */
async function useConsole(page: Page): Promise<Input[]> {
  const inputs: Input[] = []
  const note = async (name: string, act: () => Promise<void>): Promise<void> => void inputs.push(await measureInput(page, name, act))
  for (const name of [
    'Fleet',
    'Requests',
    'History',
    'Keys',
    'Usage',
    'Playground',
    'Search',
    'Documents',
    'Settings',
    'API',
    'Overview',
  ]) {
    await note(`open ${name}`, () => goTo(page, name))
  }
  await note('open Settings again', () => goTo(page, 'Settings'))
  await page.getByText('fleet.nodes').first().waitFor()
  await note('type into the search of the settings', () => page.getByRole('searchbox').pressSequentially('fleet.nodes'))
  await note('open API again', () => goTo(page, 'API'))
  await page.getByText('/rag/search').first().waitFor()
  await note('type into the search of the API', () => page.getByRole('searchbox').pressSequentially('rag/search'))
  await note('open a route of the API', () => page.locator('summary').first().click())
  await goTo(page, 'History')
  await note('open a row of the history', async () => {
    await page
      .getByRole('link', { name: /^Details/ })
      .first()
      .click()
    await page.getByRole('heading', { name: 'Request', level: 1 }).waitFor()
  })
  await goTo(page, 'Keys')
  await note('open a dialog', async () => {
    await page.getByRole('button', { name: 'Create a key' }).click()
    await page.getByLabel('Title').waitFor()
  })
  await page.keyboard.press('Escape')
  await goTo(page, 'Playground')
  await note('type a message', () => page.getByLabel('Message').pressSequentially('How many head of cattle?'))
  return inputs
}

interface Scrolled {
  readonly rows: number
  readonly tasks: Tasks
}

/** Down to the last row, with pages read on the way, and up again over all of them. */
async function scrollHistory(page: Page): Promise<Scrolled> {
  await goTo(page, 'History')
  const table = page.getByRole('table', { name: 'Requests' })
  await table.hover()
  const rowsOf = async (): Promise<number> => Number(await table.getAttribute('aria-rowcount')) - 1
  const stepTo = async (pixels: number): Promise<void> => {
    await page.mouse.wheel(0, pixels)
    await page.evaluate('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))')
  }
  const topOf = (): Promise<number> => page.evaluate<number>('document.querySelector("[role=table][aria-label=Requests]").scrollTop')
  const tasks = await tasksOf(page, async () => {
    while ((await rowsOf()) < historyRows) await stepTo(wheelPixels)
    while ((await topOf()) > 0) await stepTo(-wheelPixels * 4)
  })
  return { rows: await rowsOf(), tasks }
}

interface Round {
  readonly load: FirstLoad
  readonly gzipBytes: number
  readonly inputs: readonly Input[]
}

async function oneRound(browser: Browser, url: string): Promise<Round> {
  const page = await openConsole(browser, url)
  const load = await readFirstLoad(page)
  const inputs = await useConsole(page)
  await page.context().close()
  return { load, gzipBytes: await gzipBytes(load.scripts), inputs }
}

interface Measured {
  readonly rounds: readonly Round[]
  readonly scrolled: readonly Scrolled[]
}

async function measure(browser: Browser, url: string, { isQuick, log }: BenchOptions): Promise<Measured> {
  const rounds: Round[] = []
  for (let round = 0; round < (isQuick ? 2 : 7); round += 1) {
    const one = await oneRound(browser, url)
    const worst = one.inputs.toSorted((a, b) => b.delayMs - a.delayMs)[0]
    log(
      `round ${round}: first content ${rounded(one.load.firstContentMs)} ms, slowest input ${worst?.delayMs ?? 0} ms (${worst?.name ?? ''})`,
    )
    rounds.push(one)
  }
  const scrolled: Scrolled[] = []
  for (let round = 0; round < (isQuick ? 1 : 3); round += 1) {
    const page = await openConsole(browser, url)
    const one = await scrollHistory(page)
    log(
      `scrolled ${one.rows} rows: tasks over 50 ms: ${one.tasks.long.map(rounded).join(', ') || 'none'}, at most ${rounded(one.tasks.cpuMsMax)} ms of a core`,
    )
    scrolled.push(one)
    await page.context().close()
  }
  return { rounds, scrolled }
}

/** Each kind of input with its middle delay over the rounds, slowest first. */
function delaysOf(rounds: readonly Round[]): Input[] {
  const names = rounds[0]?.inputs.map(({ name }) => name) ?? []
  const delays = names.map((name) => ({
    name,
    delayMs: median(rounds.flatMap(({ inputs }) => inputs.filter((input) => input.name === name).map(({ delayMs }) => delayMs))),
  }))
  return delays.toSorted((a, b) => b.delayMs - a.delayMs)
}

/** Before the demo's nodes, with the history filled and chats under way. */
async function onDemo(options: BenchOptions, stage: Stage): Promise<Measured> {
  const herd = await stage.service(startHerd())
  const { port } = await stage.gateway(herd.ports, { env: { CORRAL_STORE__ENABLED: 'true' } })
  const url = `http://127.0.0.1:${port}`
  await warmUp(herd.urls, { chatModel, embedModel })
  await untilStored(url)
  await fillHistory(stage, port)
  const over = new AbortController()
  const traffic = Array.from({ length: askers }, async (_, asker) => {
    for (let turn = 0; !over.signal.aborted; turn += 1) await chat(url, chatModel, `Tell me of herd ${asker}.${turn}`)
  })
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] })
  try {
    return await measure(browser, url, options)
  } finally {
    await browser.close()
    over.abort()
    await Promise.all(traffic)
  }
}

async function startHerd() {
  const { nodes, urls, close } = await createHerd({ nodes: 8, speed: 4, embedMsPerItem: 64 })
  return { urls, ports: nodes.map(({ port }) => port), stop: close }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const { rounds, scrolled } = await onStage(options, (stage) => onDemo(options, stage))
  const middle = (of: (round: Round) => number): number => rounded(median(rounds.map(of)))
  const delays = delaysOf(rounds)
  const longest = Math.max(0, ...scrolled.flatMap(({ tasks }) => tasks.long))
  const bars = [
    atMost(
      'first contentful paint, ms',
      middle(({ load }) => load.firstContentMs),
      1_000,
    ),
    atMost('slowest input, ms to its frame', delays[0]?.delayMs ?? Number.NaN, 100),
    atMost(
      'scripts of the first load, gzip kB',
      middle((round) => round.gzipBytes / 1_000),
      200,
    ),
    atLeast('rows of history scrolled', Math.min(...scrolled.map(({ rows }) => rows)), historyRows),
    atMost('longest task while scrolling, ms', rounded(longest), 50),
  ]
  const data = {
    firstDataMs: middle(({ load }) => load.firstDataMs),
    delays,
    tasksOver50Ms: scrolled.map(({ tasks }) => tasks.long.length),
    taskCpuMsMax: rounded(Math.max(...scrolled.map(({ tasks }) => tasks.cpuMsMax))),
  }
  return benchResult('console', options, { bars, data })
}
