/**
 * Portkey's gateway beside ours, from a folder where it was installed (`npm i @portkey-ai/gateway@1.15.2 hono@4.9.7
 * @hono/node-server@1.8.2`: with newer versions of the latter two it fails every stream). No key, no store, no cache: the least it does.
 */
import { spawn } from 'node:child_process'
import { once as event } from 'node:events'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { systemClock } from '../../src/base/clock.ts'
import { openAiChatPath } from './bodies.ts'
import { freePort } from './gateway.ts'
import type { AimedTarget } from './interleaved.ts'

const startMsMax = 20_000

async function isUp(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/`)).ok
  } catch {
    return false
  }
}

/** Weighted at random over `nodes`, as its load balancing is. */
export async function startPortkey(folder: string, nodes: readonly number[]): Promise<AimedTarget & { stop(): Promise<void> }> {
  const script = join(resolve(folder), 'node_modules/@portkey-ai/gateway/build/start-server.js')
  if (!existsSync(script)) throw new Error(`${script} is not there: run npm i @portkey-ai/gateway in ${folder}`)
  const port = await freePort()
  const child = spawn(process.execPath, [script, `--port=${port}`, '--headless'], {
    stdio: 'ignore',
    env: { PATH: '/usr/bin:/bin', NODE_ENV: 'production' },
  })
  const endMs = systemClock.nowMs() + startMsMax
  while (!(await isUp(port))) {
    if (child.exitCode !== null || systemClock.nowMs() > endMs) {
      child.kill('SIGKILL')
      throw new Error('Portkey does not start')
    }
    await systemClock.sleep(50)
  }
  const targets = nodes.map((node) => ({ provider: 'ollama', custom_host: `http://127.0.0.1:${node}` }))
  const config = JSON.stringify({ strategy: { mode: 'loadbalance' }, targets })
  return {
    name: 'portkey',
    pid: child.pid ?? 0,
    port,
    load: { path: openAiChatPath, headers: { 'x-portkey-config': config } },
    async stop() {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await event(child, 'exit')
    },
  }
}
