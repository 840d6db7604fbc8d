/**
 * Control channel of the bench's child processes. A child serves named calls as POST /NAME with a JSON argument
 * on a loopback port of its own and prints that port as its first line; the parent calls it. A child ends when
 * its standard input closes, so that none outlives a bench that was killed.
 */
import { spawn } from 'node:child_process'
import { createServer, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'

export type ControlHandler = (argument: unknown) => unknown

/** A running child. `call` rejects when the child answers with an error. */
export interface ControlledChild {
  readonly pid: number
  call(name: string, argument?: unknown): Promise<unknown>
  /** Sends a signal to the process. */
  signal(name: NodeJS.Signals): void
  stop(): Promise<void>
}

async function textOf(message: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of message) parts.push(Buffer.from(part))
  return Buffer.concat(parts).toString()
}

/** Serves `handlers` in a child process and announces the port to the parent. */
export function serveControl(handlers: Readonly<Record<string, ControlHandler>>): void {
  const server = createServer((incoming, outgoing) => {
    const answer = async (): Promise<unknown> => {
      const handler = handlers[(incoming.url ?? '/').slice(1)]
      if (handler === undefined) throw new Error(`no control call ${String(incoming.url)}`)
      const text = await textOf(incoming)
      return handler(text === '' ? undefined : JSON.parse(text))
    }
    answer().then(
      (value) => outgoing.end(JSON.stringify(value ?? null)),
      (error: unknown) => outgoing.writeHead(500).end(String(error)),
    )
  })
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`)
  })
  process.stdin.resume()
  process.stdin.on('end', () => process.exit(0))
}

function callControl(port: number, name: string, argument: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path: `/${name}`, method: 'POST', agent: false }, (incoming) => {
      textOf(incoming).then((text) => {
        if (incoming.statusCode === 200) resolve(JSON.parse(text))
        else reject(new Error(`${name}: ${text}`))
      }, reject)
    })
    outgoing.on('error', reject)
    outgoing.end(argument === undefined ? '' : JSON.stringify(argument))
  })
}

/** Starts `script` under the same Node and waits for its control port. */
export async function startChild(script: URL, settings: { readonly args?: readonly string[] } = {}): Promise<ControlledChild> {
  const child = spawn(process.execPath, [script.pathname, ...(settings.args ?? [])], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const port = await new Promise<number>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', (line) => resolve(Number(line)))
    child.once('exit', (code) => reject(new Error(`${script.pathname} ended with ${String(code)} before it was ready`)))
  })
  return {
    pid: child.pid ?? 0,
    call: (name, argument) => callControl(port, name, argument),
    signal: (name) => {
      child.kill(name)
    },
    stop: () => {
      // A stopped process would not see its input end.
      child.kill('SIGCONT')
      child.stdin.end()
      return exited
    },
  }
}
