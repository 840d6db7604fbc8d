/**
 * Real proxies in front of gateways: Debian's nginx, HAProxy and Caddy on the blocks of docs/deploy.md, with the test's addresses in the
 * place of names.
 */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { freePort } from './free-port.ts'
import { systemClock } from '../../src/base/clock.ts'
import { readSource } from '../source-tree.ts'
import { endServer } from './postgres.ts'

export type ProxyName = 'nginx' | 'haproxy' | 'caddy'

const startMsMax = 20_000

/** Whether it is there. Throws where it has to be. */
export function hasProxy(name: ProxyName): boolean {
  if (spawnSync(name, [name === 'caddy' ? 'version' : '-v']).error === undefined) return true
  if (process.env['CI'] !== undefined) throw new Error(`the tests behind ${name} have to run, but it is not installed`)
  console.log(`NOT RUN behind ${name}: it is not installed`)
  return false
}

/** The block of that language in the docs; `at`: which of several. */
function documented(language: string, at: number): string {
  const block = [...readSource('docs/deploy.md').matchAll(new RegExp('```' + language + '\\n(.*?)```', 'gs'))][at]?.[1]
  if (block === undefined) throw new Error(`docs/deploy.md has no block ${at} of ${language}`)
  return block
}

interface Placed {
  readonly folder: string
  readonly block: string
}

/** The whole configuration around the block, and the command that runs it. */
const programs: Readonly<
  Record<ProxyName, (placed: Placed) => { readonly file: string; readonly text: string; readonly args: readonly string[] }>
> = {
  nginx({ folder, block }) {
    const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    const text = `pid ${folder}/pid;\nevents {}\nhttp {\naccess_log off;\n${kinds.join('\n')}\n${block}}\n`
    const file = join(folder, 'nginx.conf')
    return { file, text, args: ['-p', folder, '-e', join(folder, 'error.log'), '-c', file, '-g', 'daemon off; worker_processes 1;'] }
  },
  haproxy({ folder, block }) {
    const file = join(folder, 'haproxy.cfg')
    return { file, text: block, args: ['-f', file, '-db'] }
  },
  caddy({ folder, block }) {
    const file = join(folder, 'Caddyfile')
    return { file, text: `{\nadmin off\n}\n${block}`, args: ['run', '--config', file, '--adapter', 'caddyfile'] }
  },
}

export interface FrontProxy {
  /** Without a slash at the end. */
  readonly url: string
  readonly port: number
  stop(): Promise<void>
}

/** Starts it in front of these ports, with the block of the docs that is for it, or the one `at`; resolves when it answers. */
export async function startProxy(name: ProxyName, ports: readonly number[], at = 0): Promise<FrontProxy> {
  const folder = mkdtempSync(join(tmpdir(), `corral-${name}-`))
  chmodSync(folder, 0o755)
  const port = await freePort()
  const listening = documented(name === 'caddy' ? 'caddyfile' : name, at)
    .replace('listen 80;', `listen 127.0.0.1:${port};`)
    .replace('bind :80', `bind 127.0.0.1:${port}`)
    .replace('http://models.example.net:80', `http://127.0.0.1:${port}`)
  const block = ports.reduce((text, own, index) => text.replaceAll(`gateway-${index + 1}:11435`, `127.0.0.1:${own}`), listening)
  const { file, text, args } = programs[name]({ folder, block })
  writeFileSync(file, text)
  const child = spawn(name, args, { env: { PATH: process.env['PATH'] ?? '', HOME: folder }, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4_000)))
  const stop = async (): Promise<void> => {
    await endServer(child, 'SIGTERM')
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await untilListens(port, () => {
      if (child.exitCode !== null) throw new Error(`${name} ended: ${said}`)
    })
  } catch (error) {
    await stop()
    throw error
  }
  return { url: `http://127.0.0.1:${port}`, port, stop }
}

/** Resolves when the port is connected to; `check` may throw meanwhile. */
async function untilListens(port: number, check: () => void): Promise<void> {
  const endMs = systemClock.nowMs() + startMsMax
  while (!(await listens(port))) {
    check()
    if (systemClock.nowMs() > endMs) throw new Error(`port ${port} does not listen after ${startMsMax} ms`)
    await systemClock.sleep(20)
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      resolve(true)
      socket.destroy()
    })
    socket.on('error', () => resolve(false))
  })
}
