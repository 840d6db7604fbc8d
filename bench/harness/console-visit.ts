/**
 * What a person at the console waits for, as the browser itself measures it: when the first content is painted, how long the page takes from
 * an input to the frame that shows its effect (Event Timing), and which tasks kept the page from reacting (Long Tasks).
 */
import type { Browser, Page } from 'playwright-core'
import { z } from 'zod'

/** Runs before the page's own scripts. The page notes; the bench reads. Event Timing rounds to 8 ms. */
const observers = `
  window.corralBench = { inputs: [], tasks: [] }
  new PerformanceObserver((list) => {
    for (const { name, duration, interactionId } of list.getEntries()) if (interactionId > 0) corralBench.inputs.push({ name, duration })
  }).observe({ type: 'event', durationThreshold: 16 })
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) corralBench.tasks.push(duration)
  }).observe({ type: 'longtask' })`

/** Two frames: what the last input did is on the screen, and what the browser measured of it is told. */
const settled = 'new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(resolve, 0))))'

export interface FirstLoad {
  readonly firstContentMs: number
  /** Until the overview has its first figures from the gateway. */
  readonly firstDataMs: number
  /** Addresses of the scripts that were loaded by then. */
  readonly scripts: readonly string[]
}

export interface Input {
  readonly name: string
  /** Slowest event of the input, from the key or click to the frame after it; 0 when below 16 ms. */
  readonly delayMs: number
}

/** Opens the console in a fresh profile: nothing is cached. */
export async function openConsole(browser: Browser, url: string): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1_440, height: 900 } })
  await context.addInitScript(observers)
  const page = await context.newPage()
  await page.goto(`${url}/console/`)
  await page.getByText('Requests/s').first().waitFor()
  return page
}

export async function readFirstLoad(page: Page): Promise<FirstLoad> {
  return page.evaluate<FirstLoad>(`({
    firstContentMs: performance.getEntriesByName('first-contentful-paint')[0].startTime,
    firstDataMs: performance.now(),
    scripts: performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.endsWith('.js')),
  })`)
}

/** Does one thing and gives its delay. `act` resolves when what it leads to is there. */
export async function measureInput(page: Page, name: string, act: () => Promise<void>): Promise<Input> {
  await page.evaluate('corralBench.inputs = []')
  await act()
  await page.evaluate(settled)
  const delayMs = await page.evaluate<number>('Math.max(0, ...corralBench.inputs.map(({ duration }) => duration))')
  return { name, delayMs }
}

export interface Tasks {
  /** Those over 50 ms, in ms. */
  readonly long: readonly number[]
  /** The most that one task worked, in ms of a core: what a machine with other things to do does not make longer. */
  readonly cpuMsMax: number
}

/** The page's tasks while `act` goes on. */
export async function tasksOf(page: Page, act: () => Promise<void>): Promise<Tasks> {
  const browser = page.context().browser()
  await page.evaluate('corralBench.tasks = []')
  await browser?.startTracing(page, { categories: ['disabled-by-default-devtools.timeline'] })
  await act()
  await page.evaluate(settled)
  const trace = traceShape.parse(JSON.parse(String(await browser?.stopTracing())))
  const mains = new Set(trace.traceEvents.filter(({ args }) => args?.name === 'CrRendererMain').map(threadOf))
  const tasks = trace.traceEvents.filter((event) => event.name === 'RunTask' && mains.has(threadOf(event)))
  return { long: await page.evaluate<number[]>('corralBench.tasks'), cpuMsMax: Math.max(0, ...tasks.map(({ tdur = 0 }) => tdur / 1_000)) }
}

const traceShape = z.object({
  traceEvents: z.array(
    z.object({
      name: z.string(),
      pid: z.number(),
      tid: z.number(),
      tdur: z.number().optional(),
      args: z.object({ name: z.string().optional() }).optional(),
    }),
  ),
})

const threadOf = ({ pid, tid }: { readonly pid: number; readonly tid: number }): string => `${pid}/${tid}`
