// `corral …` of the demo, in a process of its own as from a shell, against the demo's gateway.

import { spawn } from 'node:child_process'
import { join } from 'node:path'

const entry = join(import.meta.dirname, '../../src/main.ts')

/** What a command printed: its data, and its messages. */
export interface CommandResult {
  readonly ok: boolean
  readonly stdout: string
  readonly stderr: string
}

/** Runs `corral ...args --url gatewayUrl` to its end. */
export function runCorral(gatewayUrl: string, args: readonly string[]): Promise<CommandResult> {
  const child = spawn(process.execPath, [entry, ...args, '--url', gatewayUrl], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  return new Promise((resolve) => child.once('close', (code) => resolve({ ok: code === 0, stdout, stderr })))
}
