/**
 * A real Redis for one test: Debian's `redis-server` on a free loopback port, nothing on disk but a folder that goes with the test.
 * It can be killed, started again on the same port, and stopped in its tracks; the process always ends with the test.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { onTestFinished } from 'vitest'

import { freePort } from './free-port.ts'

export interface RedisServer {
  readonly url: string
  readonly port: number
  /** One command in the inline protocol on a connection of its own; resolves with the raw answer. */
  send(command: string): Promise<string>
  /** Freezes the process (SIGSTOP): connections stay open, nothing answers. */
  freeze(): void
  thaw(): void
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>
  /** Starts it again on the same port, empty, and waits until it answers. */
  restart(): Promise<void>
  /** For tests that keep one server for a whole file. */
  stop(): Promise<void>
}

export interface RedisServerOptions {
  /** Further arguments, e.g. `['--maxmemory', '2mb']`. */
  readonly arguments?: readonly string[]
  /** Whether the test itself calls `stop`. */
  readonly keepOpen?: boolean
}

const startWithinMs = 10_000

export async function startRedis({ arguments: extra = [], keepOpen = false }: RedisServerOptions = {}): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'corral-redis-'))
  const port = await freePort()
  let child = launch(port, folder, extra)
  const kill = async (): Promise<void> => {
    const running = child
    if (running.exitCode !== null || running.signalCode !== null) return
    const ended = new Promise((resolve) => running.once('exit', resolve))
    running.kill('SIGKILL')
    await ended
  }
  const stop = async (): Promise<void> => {
    await kill()
    await rm(folder, { recursive: true, force: true })
  }
  if (!keepOpen) onTestFinished(stop)
  await untilAnswers(port, child)
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    send: (command) => sendInline(port, command),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    kill,
    async restart() {
      await kill()
      child = launch(port, folder, extra)
      await untilAnswers(port, child)
    },
    stop,
  }
}

/** A Sentinel that watches the server on `port` under the name `main`; gives its own port. It ends with the test. */
export async function startSentinel(port: number): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'corral-sentinel-'))
  const own = await freePort()
  const file = join(folder, 'sentinel.conf')
  await writeFile(file, `port ${own}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor main 127.0.0.1 ${port} 1\n`)
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' })
  onTestFinished(async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    if (child.kill('SIGKILL')) await ended
    await rm(folder, { recursive: true, force: true })
  })
  await untilAnswers(own, child)
  return own
}

function launch(port: number, folder: string, extra: readonly string[]): ChildProcess {
  const fixed = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--save',
    '',
    '--appendonly',
    'no',
    '--loglevel',
    'warning',
  ]
  return spawn('redis-server', [...fixed, ...extra], { stdio: 'ignore' })
}

async function untilAnswers(port: number, child: ChildProcess): Promise<void> {
  let failure: Error | null = null
  child.once('error', (error) => {
    failure = error
  })
  const endMs = Date.now() + startWithinMs
  while (Date.now() < endMs) {
    if (failure !== null) throw new Error('redis-server does not start', { cause: failure })
    const answer = await sendInline(port, 'PING').catch(() => '')
    if (answer.startsWith('+PONG') || answer.startsWith('-NOAUTH')) return
    await new Promise((resolve) => {
      setTimeout(resolve, 10)
    })
  }
  throw new Error(`redis-server does not answer on port ${port}`)
}

/** Sends one line and takes what comes until the answer pauses. */
function sendInline(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: '127.0.0.1' })
    socket.setTimeout(2_000, () => socket.destroy(new Error('no answer')))
    socket.once('error', reject)
    socket.once('data', (data) => {
      socket.destroy()
      resolve(data.toString())
    })
    socket.write(`${command}\r\n`)
  })
}
