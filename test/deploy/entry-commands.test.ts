// The command of each way to run Corral, as its file says it, as a plain process: in a tree like the image's that nobody may write, as
// the image's user, with the same environment. Only ports and places of files are the test's.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { parseAllDocuments } from 'yaml'

import { freePort } from '../support/free-port.ts'
import { createHerd } from '../../src/sim/herd.ts'
import { readSource } from '../source-tree.ts'
import { type ImageTree, imageUser, makeImageTree, run, userFolder } from './image-tree.ts'
import { expectDrains, untilServing } from './served.ts'

let tree: ImageTree
beforeAll(() => {
  tree = makeImageTree()
}, 120_000)
afterAll(() => tree.remove())

const testMsMax = 120_000

async function startNode(): Promise<string> {
  const herd = await createHerd({ nodes: 1, speed: 20 })
  onTestFinished(() => herd.close())
  return herd.urls[0] ?? ''
}

/** The arguments of an instruction of the Dockerfile in its JSON form. */
function instruction(name: string): readonly string[] {
  const [, list = ''] = new RegExp(`^${name} (\\[.*\\])$`, 'm').exec(readSource('Dockerfile')) ?? []
  const words: readonly string[] = JSON.parse(list)
  return words
}

test('what the image holds above its base and Node is under 60 MB', () => {
  // With Debian's base (80 MB) and Node without its symbols (116 MB): under 256 MB, which is 250 MiB.
  expect(tree.bytes).toBeLessThan(60_000_000)
})

test(
  'the image: its entry point serves, its health check knows, it drains',
  async () => {
    const folder = userFolder()
    const port = await freePort()
    const [, mode = ''] = /docker run [^`]*? -e CORRAL_IDENTITY__MODE=(\w+)/.exec(readSource('docs/deploy.md')) ?? []
    const env = { HOME: folder, CORRAL_IDENTITY__MODE: mode, CORRAL_HTTP__PORT: String(port), CORRAL_NODES: await startNode() }
    const server = run(tree, { command: [...instruction('ENTRYPOINT'), ...instruction('CMD')], env })
    const key = await untilServing(server, port)
    const health = readSource('Dockerfile').match(/CMD (\["node", "dist\/main.js", "health".*\])/)?.[1] ?? '[]'
    const words: readonly string[] = JSON.parse(health)
    const checked = await run(tree, { command: [...words.slice(0, -1), String(server.child.pid)], env }).ended
    expect(checked).toEqual({ code: 0, stdout: 'ok\n', stderr: '' })
    await expectDrains(server, port, key)
  },
  testMsMax,
)

test(
  'the unit of systemd: its command serves and drains',
  async () => {
    const unit = readSource('deploy/systemd/corral.service')
    const setting = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? ''
    const folder = userFolder('corral')
    const port = await freePort()
    const own = Object.fromEntries(
      setting('Environment')
        .replaceAll('%S', folder)
        .split(' ')
        .map((pair) => pair.split('=', 2)),
    )
    const command = setting('ExecStart').replace('/opt/corral/node_modules/corral', tree.app).split(' ')
    const env = { ...own, CORRAL_HTTP__PORT: String(port), CORRAL_NODES: await startNode() }
    const server = run(tree, { command, env })
    const key = await untilServing(server, port)
    expect(setting('ExecReload')).toBe('/bin/kill -HUP $MAINPID')
    server.child.kill('SIGHUP')
    await server.until(/reloaded|nothing changed|configuration/i)
    await expectDrains(server, port, key)
  },
  testMsMax,
)

test('the unit of systemd lets a parser have a network of its own, and no other namespace', () => {
  expect(readSource('deploy/systemd/corral.service')).toMatch(/^RestrictNamespaces=user net$/m)
})

interface Manifest {
  readonly kind: string
  readonly data?: Readonly<Record<string, string>>
  readonly spec?: {
    readonly template?: {
      readonly spec: {
        readonly containers: readonly {
          readonly args: readonly string[]
          readonly env: readonly { readonly name: string; readonly value: string }[]
        }[]
      }
    }
  }
}

test(
  'the chart: its arguments, configuration and environment serve and drain',
  async () => {
    const manifests = parseAllDocuments(readFileSync(join(import.meta.dirname, 'rendered/default.yaml'), 'utf8')).map(
      (document): Manifest => document.toJS(),
    )
    const config = manifests.find(({ kind }) => kind === 'ConfigMap')?.data?.['corral.yaml'] ?? ''
    const container = manifests.find(({ kind }) => kind === 'Deployment')?.spec?.template?.spec.containers[0]
    const folder = userFolder('etc', 'secret', 'data')
    const port = await freePort()
    writeFileSync(join(folder, 'etc/corral.yaml'), config.replace('http://ollama:11434', await startNode()))
    writeFileSync(join(folder, 'secret/secret'), 'a secret of at least thirty-two characters')
    const places = { '/etc/corral': 'etc', '/run/secrets/corral': 'secret', '/var/lib/corral': 'data' }
    const placed = (text: string): string =>
      Object.entries(places).reduce((value, [path, own]) => value.replace(path, join(folder, own)), text)
    const given = Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, placed(value)]))
    const env = { ...given, CORRAL_HTTP__PORT: String(port), CORRAL_HTTP__DRAIN_DELAY_MS: '0s' }
    const server = run(tree, { command: [...instruction('ENTRYPOINT'), ...(container?.args ?? [])], env })
    await expectDrains(server, port, await untilServing(server, port))
  },
  testMsMax,
)

test('nobody may write in the tree', async () => {
  const script = "const fs=require('node:fs');try{fs.writeFileSync('dist/x','')}catch(error){console.log(error.code)}"
  const { stdout } = await run(tree, { command: ['node', '--eval', script], env: {} }).ended
  expect(stdout).toBe(process.getuid?.() === 0 && imageUser.uid === undefined ? '' : 'EACCES\n')
})
