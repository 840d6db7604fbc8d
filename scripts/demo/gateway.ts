// The demo's gateway: `src/main.ts serve` in a process of its own, as an operator would run it, with nothing of the caller's own configuration
// and with a store that is gone with it.

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const root = join(import.meta.dirname, '../..')
const startMsMax = 15_000
/** Named by the caller for something else than a demo. */
const stores: ReadonlySet<string> = new Set(['DATABASE_URL', 'REDIS_URL'])

/** A running gateway. */
export interface DemoGateway {
  readonly url: string
  /** From the start of the process to its first answer. */
  readonly startMs: number
  close(): Promise<void>
}

/** A node to stand behind the gateway. */
export interface DemoNode {
  readonly name: string
  readonly url: string
}

/**
 * Starts a gateway in front of `nodes` on `port`, or on a free one when that is taken or 0. `settings`: of its environment, beside the demo's own.
 * Throws with its messages when it does not answer.
 */
export async function startGateway(
  nodes: readonly DemoNode[],
  port: number,
  settings: Readonly<Record<string, string>> = {},
): Promise<DemoGateway> {
  const chosen = port > 0 && (await isFree(port)) ? port : await freePort()
  const url = `http://127.0.0.1:${chosen}`
  const dataFolder = await mkdtemp(join(tmpdir(), 'corral-demo-'))
  const startedAtMs = performance.now()
  const child = spawn(process.execPath, [join(root, 'src/main.ts'), 'serve', '--port', String(chosen)], {
    cwd: import.meta.dirname,
    env: {
      ...foreignEnvironment(),
      ...nodeEnvironment(nodes),
      CORRAL_OBSERVE__LOG__ACCESS: 'false',
      CORRAL_STORE__DATA_DIR: dataFolder,
      ...settings,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let messages = ''
  child.stderr.on('data', (chunk: Buffer) => {
    messages = (messages + chunk.toString()).slice(-4_000)
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  while (!(await answers(url))) {
    if (child.exitCode !== null || performance.now() - startedAtMs > startMsMax) {
      child.kill('SIGKILL')
      await ended
      await rm(dataFolder, { recursive: true, force: true })
      throw new Error(`the gateway did not start:\n${messages}`)
    }
    await sleep(10)
  }
  return {
    url,
    startMs: performance.now() - startedAtMs,
    close: async () => {
      child.kill('SIGTERM')
      await ended
      await rm(dataFolder, { recursive: true, force: true })
    },
  }
}

function nodeEnvironment(nodes: readonly DemoNode[]): Record<string, string> {
  const names = nodes.map(({ name }, index) => [`CORRAL_FLEET__NODES__${index}__NAME`, name])
  return { CORRAL_NODES: nodes.map(({ url }) => url).join(','), ...Object.fromEntries(names) }
}

/** The environment without what would configure the gateway. */
function foreignEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CORRAL_') && !stores.has(name)))
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/livez`)).ok
  } catch {
    return false
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
}
