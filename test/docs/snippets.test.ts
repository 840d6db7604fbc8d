// Runs the shell blocks of README and manual as a reader would, against a gateway of its own process before simulated nodes. A block that
// cannot run here says why behind its language: "sh no-run: needs Docker". Blocks of one page run in its order and share nothing but the gateway.
import { execFile, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import MarkdownIt from 'markdown-it'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { createHerd } from '../../src/sim/herd.ts'
import { Running } from '../cli/corral.ts'
import { listFiles, readSource, root } from '../source-tree.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'

interface Block {
  readonly where: string
  readonly info: string
  readonly text: string
}

function blocksOf(page: string): Block[] {
  return new MarkdownIt()
    .parse(readSource(page), {})
    .filter(({ type, info }) => type === 'fence' && /^(sh|bash|shell|console)\b/.test(info))
    .map(({ info, content, map }) => ({ where: `${page}:${(map?.[0] ?? 0) + 1}`, info: info.trim(), text: content }))
}

const isRunbook = (page: string): boolean => page.startsWith('docs/runbooks/')
const manual = listFiles('docs', '.md')
const blocks = ['README.md', ...manual.filter((page) => !isRunbook(page))].flatMap(blocksOf)
const runnable = blocks.filter(({ info }) => info === 'sh')

/** What a runbook asks of a gateway. Its other lines ask the machines of an incident (services, logs, Redis), or what this one does not have. */
const elsewhere = /^(?!corral |curl )|^corral (?:top|migrate)\b|\bID\b|corral_redis_/
const lookUps = new Set(
  manual
    .filter(isRunbook)
    .flatMap(blocksOf)
    .flatMap(({ text }) => text.split('\n').map((line) => line.replace(/\s+#.*/, '').trim()))
    .filter((line) => !elsewhere.test(line)),
)

const folder = mkdtempSync(join(tmpdir(), 'corral-snippets-'))
const entry = join(root, 'src/main.ts')
let herd: Awaited<ReturnType<typeof createHerd>>
let gateway: Running
let url = ''
let env: Record<string, string> = {}

beforeAll(async () => {
  herd = await createHerd({ nodes: 2, speed: 20 })
  mkdirSync(join(folder, 'bin'))
  mkdirSync(join(folder, 'docs'))
  writeFileSync(join(folder, 'docs/nodes.md'), '# Nodes\n\nA drained node gets no new requests and ends those it has.\n')
  writeFileSync(join(folder, 'bin/corral'), `#!/bin/sh\nexec '${process.execPath}' '${entry}' "$@"\n`)
  chmodSync(join(folder, 'bin/corral'), 0o755)
  const settings = {
    PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}`,
    HOME: folder,
    CORRAL_STORE__DATA_DIR: await embeddedFolder(),
    NO_COLOR: '1',
  }
  const nodes = { CORRAL_NODES: herd.urls.join(',') }
  gateway = new Running(
    spawn(process.execPath, [entry, 'serve', '--port', '0'], {
      cwd: folder,
      env: { ...settings, ...nodes },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  )
  url = (await gateway.until(/listening (http:\/\/[\d.:]+)/))[1] ?? ''
  env = { ...settings, ...nodes, CORRAL_HTTP__PORT: new URL(url).port }
  const key = (await shell('corral keys create --title snippets --scope admin --scope chat --scope embed')).stdout.trim()
  env = { ...env, KEY: key, CORRAL_API_KEY: key }
}, 120_000)

afterAll(async () => {
  gateway.child.kill('SIGTERM')
  await gateway.ended
  await herd.close()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

interface ShellResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function shell(script: string): Promise<ShellResult> {
  return new Promise((resolve) => {
    execFile('bash', ['--norc', '-euo', 'pipefail', '-c', script], { cwd: folder, env, timeout: 90_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr })
    })
  })
}

/** The id of a key that nobody uses. */
async function spareKey(): Promise<string> {
  const answer = await fetch(`${url}/admin/keys`, { method: 'POST', body: '{"title":"spare","scopes":["chat"]}' })
  const { key }: { key: string } = JSON.parse(await answer.text())
  return key.slice(7, 19)
}

/** What a reader puts in for the names of the text. */
function filledIn(text: string, id: string): string {
  const key = env['KEY'] ?? ''
  return (
    text
      .replaceAll(/(?:http:\/\/)?(?:127\.0\.0\.1|localhost|gateway):11435/g, url)
      .replaceAll(/http:\/\/gpu-(\d):11434/g, (_all, digit: string) => herd.urls[(Number(digit) - 1) % 2] ?? '')
      .replaceAll('corral_…', key)
      .replaceAll('http://NODE:11434', herd.urls[0] ?? '')
      .replaceAll(/\bNODE\b/g, new URL(herd.urls[0] ?? '').host)
      .replaceAll(/\bID\b/g, id)
      // What a command answers stands below it.
      .replaceAll(/^\{".*\n/gm, '')
      // A curl that gets an error status is a broken example.
      .replaceAll(/\bcurl /g, 'curl --fail-with-body ')
  )
}

test.for(runnable)('$where runs', { timeout: 120_000 }, async ({ text }) => {
  const { code, stdout, stderr } = await shell(filledIn(text, /\bID\b/.test(text) ? await spareKey() : ''))
  expect(code, `${text}\n${stdout}\n${stderr}`).toBe(0)
})

/** `grep -E '^(one|other)'` for each of its names: all are to be there, if only described, since one without a value yet has no line. */
function linesOf(command: string): string[] {
  const names = /'\^\(([\w|]+)\)'/.exec(command)?.[1]?.split('|') ?? []
  return names.length === 0 ? [command] : names.map((name) => command.replace(/'\^\([\w|]+\)'/, `'^(# TYPE )?${name}'`))
}

test.for([...lookUps].flatMap(linesOf))('a runbook looks with %s', async (line) => {
  const { code, stdout, stderr } = await shell(filledIn(line, '').replace('NAME', 'docs'))
  expect(code, `${line}\n${stdout}\n${stderr}`).toBe(0)
})

test('every block that does not run says why', () => {
  const silent = blocks.filter(({ info }) => info !== 'sh' && !/^sh no-run: \S+ \S+/.test(info))
  expect(silent.map(({ where }) => where)).toEqual([])
  expect(runnable.length).toBeGreaterThan(10)
  expect(lookUps.size).toBeGreaterThan(15)
})
