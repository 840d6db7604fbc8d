// A signal to `npm start` reaches what it started: npm sends it to its shell, which would die of it and leave the gateway running.
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import manifest from '../../package.json' with { type: 'json' }
import { root } from '../source-tree.ts'
import { until } from '../support/gateway.ts'

const { name, type, engines, devDependencies, scripts } = manifest
/** Says who it is, and what it hears. */
const waits = (what: string): string => `
  process.on('SIGTERM', () => { console.log('${what} heard SIGTERM'); process.exit(0) })
  process.on('SIGINT', () => { console.log('${what} heard SIGINT'); process.exit(0) })
  setInterval(() => {}, 60_000)
  console.log('${what} is', process.pid)
`

/** `npm start` in a folder of its own, where the programs that it starts only wait. */
function startNpm(programs: { readonly build: string; readonly main: string }) {
  const folder = mkdtempSync(join(tmpdir(), 'corral-npm-'))
  const { prestart, build, start } = scripts
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, type, engines, devDependencies, scripts: { prestart, build, start } }))
  mkdirSync(join(folder, 'scripts'))
  mkdirSync(join(folder, 'dist'))
  cpSync(join(root, 'scripts/run.mjs'), join(folder, 'scripts/run.mjs'))
  writeFileSync(join(folder, 'scripts/build.ts'), programs.build)
  writeFileSync(join(folder, 'dist/main.js'), programs.main)
  const npm = spawn('npm', ['start'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const told = { text: '' }
  for (const stream of [npm.stdout, npm.stderr]) stream.on('data', (chunk: Buffer) => (told.text += chunk.toString()))
  const pidOf = async (what: string): Promise<number> => {
    const line = new RegExp(`${what} is (\\d+)`)
    await until(() => line.test(told.text), `${what} runs`, 30_000)
    return Number(line.exec(told.text)?.[1])
  }
  onTestFinished(() => {
    for (const [, pid] of told.text.matchAll(/ is (\d+)/g)) if (isAlive(Number(pid))) process.kill(Number(pid), 'SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  return { npm, told, pidOf }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test.each(['SIGTERM', 'SIGINT'] as const)('%s ends the gateway', async (signal) => {
  const { npm, told, pidOf } = startNpm({ build: '', main: waits('gateway') })
  const pid = await pidOf('gateway')
  npm.kill(signal)
  await until(() => !isAlive(pid), 'the gateway has ended', 10_000)
  await until(() => told.text.includes(`gateway heard ${signal}`), 'it said why', 10_000)
})

test('SIGTERM while the build runs ends the build, and no gateway starts', async () => {
  const { npm, told, pidOf } = startNpm({ build: waits('build').replace('process.exit(0)', 'process.exit(1)'), main: waits('gateway') })
  const pid = await pidOf('build')
  const ended = new Promise((resolve) => npm.once('close', resolve))
  npm.kill('SIGTERM')
  await until(() => !isAlive(pid), 'the build has ended', 10_000)
  await Promise.race([ended, systemClock.sleep(10_000)])
  expect(told.text).not.toContain('gateway is')
})
