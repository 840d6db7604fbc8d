/**
 * What a newcomer waits for: a fresh clone after `npm ci`, then `npm start` (the build before it included) until the first token of a streamed
 * answer has come from one simulated node, asked again and again as an impatient person would. Every start has a data folder
 * of its own, so the embedded store is made beside it. The clone holds what is committed. And `corral --help`, from the built program.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock } from '../src/base/clock.ts'
import { createHerd } from '../src/sim/herd.ts'
import { freePort } from './harness/gateway.ts'
import { monotonicUs } from './harness/monotonic.ts'
import { atMost, benchResult, type BenchOptions, type BenchResult, rounded } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { onStage } from './harness/stage.ts'

const root = join(import.meta.dirname, '..')
const answerMsMax = 60_000
const body = JSON.stringify({ model: 'llama3.2:3b', prompt: 'How many head of cattle stand in the north pasture?' })

/** The clone with its packages, and what the end of `npm ci` makes in it. */
function freshClone(folder: string): string {
  const clone = join(folder, 'corral')
  execFileSync('git', ['clone', '--quiet', '--no-hardlinks', root, clone])
  execFileSync('cp', ['-al', join(root, 'node_modules'), join(clone, 'node_modules')])
  execFileSync(process.execPath, ['scripts/prepare.mjs'], { cwd: clone, stdio: 'ignore' })
  return clone
}

/** Resolves when the first bytes of the answer's body are there; false: nobody listens yet, or it is no answer. */
async function firstToken(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/api/generate`, { method: 'POST', body })
    const reader = answer.body?.getReader()
    const first = await reader?.read()
    await reader?.cancel()
    return answer.ok && first?.value !== undefined
  } catch (error) {
    if (error instanceof TypeError) return false
    throw error
  }
}

/** Milliseconds from `npm start` to the first token. */
async function oneStart(clone: string, node: string): Promise<number> {
  const port = await freePort()
  const data = mkdtempSync(join(tmpdir(), 'corral-first-answer-data-'))
  const env = { PATH: process.env['PATH'], HOME: data, XDG_DATA_HOME: data, CORRAL_NODES: node, CORRAL_HTTP__PORT: String(port) }
  const startUs = monotonicUs()
  const child = spawn('npm', ['start'], { cwd: clone, env, stdio: ['ignore', 'ignore', 'pipe'], detached: true })
  let said = ''
  child.stderr.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-4_000)))
  const exited = once(child, 'exit')
  try {
    while (!(await firstToken(`http://127.0.0.1:${port}`))) {
      const isLate = monotonicUs() - startUs > answerMsMax * 1_000
      if (child.exitCode !== null || isLate) throw new Error(`npm start gave no answer: ${said}`)
      await systemClock.sleep(5)
    }
    return (monotonicUs() - startUs) / 1_000
  } finally {
    // npm passes no signal on to what it started.
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM')
    await exited
    rmSync(data, { recursive: true, force: true, maxRetries: 5 })
  }
}

function helpMs(clone: string): number {
  const startUs = monotonicUs()
  execFileSync(process.execPath, [join(clone, 'dist/main.js'), '--help'], { stdio: 'ignore' })
  return (monotonicUs() - startUs) / 1_000
}

async function repeated(times: number, measure: () => number | Promise<number>): Promise<number[]> {
  const values: number[] = []
  while (values.length < times) values.push(rounded(await measure()))
  return values
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'corral-first-answer-'))
  try {
    return await onStage(options, async (stage) => {
      const herd = await createHerd({ nodes: 1, speed: 20 })
      await stage.service(Promise.resolve({ stop: () => herd.close() }))
      const [node = ''] = herd.urls
      const clone = freshClone(folder)
      // The model is loaded once: whether a node has to load is not the gateway's time.
      await firstToken(node)
      const startMs = await repeated(options.isQuick ? 2 : 5, () => oneStart(clone, node))
      const helps = await repeated(options.isQuick ? 5 : 15, () => helpMs(clone))
      const bare = await repeated(options.isQuick ? 5 : 15, () => {
        const startUs = monotonicUs()
        execFileSync(process.execPath, ['--eval', '0'])
        return (monotonicUs() - startUs) / 1_000
      })
      const bars = [atMost('npm start to the first token, ms', median(startMs), 3_000), atMost('corral --help, ms', median(helps), 150)]
      return benchResult('first-answer', options, { bars, data: { startMs, helpMs: helps, nodeAloneMs: rounded(median(bare)) } })
    })
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
