/** The command line as a process of its own: what a shell sees. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { onTestFinished } from 'vitest'

import { keepOutput } from '../support/kept-output.ts'
import { createFolder } from '../config/folder.ts'

export const entry = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export class Running {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  readonly ended: Promise<Ended>
  #heard: (() => void)[] = []

  constructor(child: ChildProcess) {
    this.child = child
    child.stdout?.on('data', (chunk: Buffer) => this.#hear('stdout', chunk))
    child.stderr?.on('data', (chunk: Buffer) => this.#hear('stderr', chunk))
    this.ended = new Promise((resolve) => {
      child.on('close', (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr }))
    })
    void this.ended.then(() => this.#wake())
  }

  #hear(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    this[stream] += chunk.toString()
    // What a command prints was asked for, a new key too; what a gateway prints, and any process on its stderr, was not.
    const { spawnargs, pid } = this.child
    if (stream === 'stderr' || spawnargs.includes('serve')) keepOutput(`${stream}-of-${pid}`, chunk.toString())
    this.#wake()
  }

  #wake(): void {
    const heard = this.#heard
    this.#heard = []
    for (const wake of heard) wake()
  }

  /** Resolves once both streams together match; rejects when the process ends before. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout + this.stderr)
      if (match !== null) return match
      if (this.child.exitCode !== null) throw new Error(`ended with ${this.child.exitCode} before ${pattern}: ${this.stdout}${this.stderr}`)
      await new Promise<void>((resolve) => this.#heard.push(resolve))
    }
  }
}

/** A gateway of a test that says nothing of the store has none: making one takes seconds, and it would lie in the user's folder. */
function storeOf(args: readonly string[]): Readonly<Record<string, string>> {
  const asksForOne = args.some((arg) => arg.startsWith('store.'))
  return args[0] === 'serve' && !asksForOne ? { CORRAL_STORE__ENABLED: 'false' } : {}
}

/** Starts `corral …args` in an empty folder and kills it after the test. */
export function start(args: readonly string[], { env = {}, cwd }: RunOptions = {}): Running {
  return runNode([entry, ...args], { env: { ...storeOf(args), ...env }, ...(cwd !== undefined && { cwd }) })
}

/** Starts `node …args` in the same way. */
export function runNode(args: readonly string[], { env = {}, cwd = createFolder() }: RunOptions = {}): Running {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return new Running(child)
}

/** Runs `corral …args` to its end. */
export function corral(args: readonly string[], options?: RunOptions): Promise<Ended> {
  return start(args, options).ended
}

/** Starts a gateway on a free port and waits until it listens. */
export async function serve(args: readonly string[], options?: RunOptions): Promise<{ readonly running: Running; readonly url: string }> {
  const running = start(['serve', '--port', '0', ...args], options)
  const [, url = ''] = await running.until(/listening (http:\/\/[\d.:]+)/)
  return { running, url }
}
