/** A gateway before nodes of any make (scripted, in another process, behind a name), and loads of requests to count. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { onTestFinished } from 'vitest'

import { createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { ask, chatBody, type Reply } from '../fleet/ask.ts'
import type { Gateway } from '../fleet/gateway.ts'
import { until } from '../support/gateway.ts'

export interface NodeAt {
  readonly url: string
  readonly name: string
}

type Section = Readonly<Record<string, unknown>>

/** A gateway before `nodes`, all of which it knows when this returns. Closes with the test. */
export async function openFront(nodes: readonly NodeAt[], fleet: Section = {}): Promise<Gateway> {
  const config = configSchema.parse({
    http: { host: '127.0.0.1', port: 0 },
    fleet: { ...fleet, nodes },
    observe: { log: { level: 'silent', access: false } },
  })
  const app = await createApp({ config, clock: systemClock, version: '0.0.0-test' })
  const { port } = await app.listen()
  const close = (): Promise<void> => app.close(0)
  onTestFinished(close)
  await until(() => app.fleet.nodes.every(({ models }) => models.size > 0), 'the nodes are known')
  const sim = (name: string | null): never => {
    throw new Error(`${name} is no node of this process`)
  }
  return { url: `http://127.0.0.1:${port}`, port, app, sims: [], sim, close }
}

export interface CrowdOptions {
  readonly requests: number
  readonly atOnce: number
  readonly change?: Section
}

/** Sends chats, `atOnce` at a time, and returns all answers in the order of their ends. A cut connection rejects. */
export async function crowd(url: string, { requests, atOnce, change = {} }: CrowdOptions): Promise<Reply[]> {
  const replies: Reply[] = []
  let left = requests
  const client = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      replies.push(await ask(`${url}/api/chat`, chatBody(change)))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, client))
  return replies
}

/** The value below which the given share of `values` lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN
}

const simEntry = fileURLToPath(new URL('../../src/sim/main.ts', import.meta.url))

/** A simulated node in a process of its own, on a free port. Killed with the test. */
export async function spawnSim(args: readonly string[] = []): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const child = spawn(process.execPath, [simEntry, '--nodes', '1', '--port', '0', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()))
    child.once('exit', (code) => reject(new Error(`the simulated node ended with ${code}`)))
  })
  return { child, url }
}
