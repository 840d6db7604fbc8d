/** A machine that is gone, as far as connecting to it can tell. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'

import { onTestFinished } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'

/** A port whose connections nobody accepts and whose line of waiting ones is full: the kernel drops what comes. */
export async function openBlackHole(): Promise<number> {
  const script = `const server = require('node:net').createServer()
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:fs').writeSync(1, String(server.address().port) + '\\n')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [text] = (await once(child.stdout, 'data')) as [Buffer]
  const port = Number(text.toString())
  const fillers = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => undefined))
  onTestFinished(() => fillers.forEach((socket) => socket.destroy()))
  await systemClock.sleep(100)
  return port
}
