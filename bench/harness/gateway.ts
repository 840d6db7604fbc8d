/**
 * Starts the gateway the way a user does (`npm start`: built once, then `node dist/main.js serve`, settings by environment), with the access log
 * written to a file and metrics on, and waits until it answers. What it writes to standard error is kept for the
 * message of a start that fails.
 */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock } from '../../src/base/clock.ts'
import { monotonicUs } from './monotonic.ts'
import { portOf } from './port-of.ts'

export interface GatewaySettings {
  /** More settings, e.g. `CORRAL_FLEET__PROBE__INTERVAL_MS`. */
  readonly env?: Readonly<Record<string, string>>
  /** Arguments for Node itself. */
  readonly nodeArgs?: readonly string[]
  /** Default: a free one. */
  readonly port?: number
}

export interface Gateway {
  readonly name: string
  readonly pid: number
  readonly port: number
  /** From the start of the process to its first answer. */
  readonly firstAnswerMs: number
  /** The last it wrote to standard error. */
  said(): string
  stop(): Promise<void>
}

/** For herds whose mock nodes serve any number at once: the gateway must not hold requests back. */
export const manySlots: GatewaySettings = { env: { CORRAL_FLEET__ADMISSION__SLOTS_ASSUMED: '4096' } }

const entry = new URL('../../dist/main.js', import.meta.url).pathname
const builder = new URL('../../scripts/build.ts', import.meta.url).pathname
let isBuilt = false

/** What is measured is what the sources say now, and only the first gateway of a run waits for it. */
function build(): void {
  if (isBuilt) return
  execFileSync(process.execPath, [builder], { stdio: 'ignore' })
  isBuilt = true
}
const startMsMax = 30_000
const stopMsMax = 5_000

/** A port nobody listens on at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const port = portOf(server)
      server.close(() => resolve(port))
    })
  })
}

/** True when `path` is answered with HTTP 200 on `port`. */
function answers(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('connect', () => socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n`))
    socket.on('data', (bytes) => {
      resolve(bytes.toString().startsWith('HTTP/1.1 200'))
      socket.destroy()
    })
    socket.on('error', () => resolve(false))
    socket.on('close', () => resolve(false))
  })
}

/** No store unless a bench asks for one: making a database takes seconds of a core. */
function gatewayEnv(ports: readonly number[], port: number, folder: string): Record<string, string> {
  return {
    PATH: '/usr/bin:/bin',
    XDG_DATA_HOME: folder,
    CORRAL_STORE__ENABLED: 'false',
    CORRAL_NODES: ports.map((node) => `http://127.0.0.1:${node}`).join(','),
    CORRAL_HTTP__PORT: String(port),
    CORRAL_OBSERVE__LOG__FILE: join(folder, 'access.log'),
    CORRAL_OBSERVE__LOG__ACCESS: 'true',
  }
}

/** `act` on the first call; later calls get the same promise. */
export function once(act: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => (done ??= act())
}

/** How to stop `child`. An end nobody asked for is told at once: every figure after it is about a dead gateway. */
function stopper(child: ChildProcess, folder: string, said: () => string): () => Promise<void> {
  let isAsked = false
  const exited = new Promise<void>((resolve) => {
    child.once('exit', (code, signal) => {
      if (!isAsked) process.stderr.write(`THE GATEWAY ENDED BY ITSELF (${String(code ?? signal)}):\n${said()}\n`)
      resolve()
    })
  })
  return once(async () => {
    isAsked = true
    child.kill('SIGTERM')
    const killer = systemClock.after(stopMsMax, () => child.kill('SIGKILL'))
    await exited
    killer.cancel()
    rmSync(folder, { recursive: true, force: true })
  })
}

/** Polls `path` until it is answered with 200; rejects with what the gateway said when it ends or takes too long. */
async function untilAnswered(
  port: number,
  path: string,
  gateway: { readonly child: ChildProcess; readonly said: () => string },
): Promise<void> {
  const lateUs = monotonicUs() + startMsMax * 1_000
  while (!(await answers(port, path))) {
    if (gateway.child.exitCode !== null || monotonicUs() > lateUs) throw new Error(`the gateway did not answer ${path}: ${gateway.said()}`)
    await systemClock.sleep(2)
  }
}

export async function startGateway(ports: readonly number[], settings: GatewaySettings): Promise<Gateway> {
  build()
  const port = settings.port ?? (await freePort())
  const folder = mkdtempSync(join(tmpdir(), 'corral-bench-'))
  const env = { ...gatewayEnv(ports, port, folder), ...settings.env }
  const startUs = monotonicUs()
  const child = spawn(process.execPath, [...(settings.nodeArgs ?? []), entry, 'serve'], {
    env,
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  const stop = stopper(child, folder, () => said)
  child.stderr.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-4_000)))
  try {
    await untilAnswered(port, '/livez', { child, said: () => said })
    const firstAnswerMs = (monotonicUs() - startUs) / 1_000
    await untilAnswered(port, '/readyz', { child, said: () => said })
    return { name: 'corral', pid: child.pid ?? 0, port, firstAnswerMs, said: () => said, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
