/**
 * Real servers beside the gateways of a bench, each on a free loopback port: Debian's redis-server, a Postgres 18 and a PgBouncer
 * in transaction mode (both as test/support starts them). They can be frozen, killed and started again on the same port.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once as event } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'

import { systemClock } from '../../src/base/clock.ts'
import { endServer, hasPostgres, serverFolder, startPostgres, startServer } from '../../test/support/postgres.ts'
import type { TestDatabase, TestPostgres } from '../../test/support/postgres.ts'
import { freePort } from './gateway.ts'

export interface Redis {
  readonly url: string
  /** One command in the inline protocol; resolves with the raw answer. */
  send(command: string): Promise<string>
  /** Scripts that ran to their end since it started, by its own count. */
  scriptsRun(): Promise<number>
  /** Connections stay open, nothing answers. */
  freeze(): void
  thaw(): void
  kill(): Promise<void>
  /** Empty, on the same port; resolves when it answers. */
  restart(): Promise<void>
  stop(): Promise<void>
}

const startMsMax = 10_000

function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.setTimeout(2_000, () => socket.destroy(new Error('no answer from Redis')))
    socket.once('error', reject)
    socket.once('data', (bytes) => {
      socket.destroy()
      resolve(bytes.toString())
    })
    socket.write(`${command}\r\n`)
  })
}

async function launchRedis(port: number, folder: string): Promise<ChildProcess> {
  const kept = ['--dir', folder, '--save', '', '--appendonly', 'no', '--loglevel', 'warning']
  const child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', ...kept], { stdio: 'ignore' })
  const failed = event(child, 'error').then(([cause]: unknown[]) => Promise.reject(new Error('redis-server does not start', { cause })))
  const endMs = systemClock.nowMs() + startMsMax
  const answered = async (): Promise<void> => {
    while (!(await ask(port, 'PING').catch(() => '')).startsWith('+PONG')) {
      if (systemClock.nowMs() > endMs) throw new Error(`redis-server does not answer on port ${port}`)
      await systemClock.sleep(5)
    }
  }
  await Promise.race([answered(), failed])
  return child
}

/** Those of EVAL and EVALSHA, without the failed ones. */
function scriptsRun(commandStats: string): number {
  const lines = commandStats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+),.*failed_calls=(\d+)/g)
  return [...lines].reduce((sum, [, calls, failed]) => sum + Number(calls) - Number(failed), 0)
}

export async function startRedis(): Promise<Redis> {
  const folder = mkdtempSync(join(tmpdir(), 'corral-bench-redis-'))
  const port = await freePort()
  let child = await launchRedis(port, folder)
  const kill = (): Promise<void> => endServer(child, 'SIGKILL')
  return {
    url: `redis://127.0.0.1:${port}`,
    send: (command) => ask(port, command),
    scriptsRun: async () => scriptsRun(await ask(port, 'INFO commandstats')),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    kill,
    async restart() {
      await kill()
      child = await launchRedis(port, folder)
    },
    async stop() {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A database of its own, straight and through PgBouncer. */
export interface Postgres {
  readonly directUrl: string
  readonly pooledUrl: string
  /** Ends it like a crash. */
  crash(): Promise<void>
  start(): Promise<void>
  restartPooler(): Promise<void>
  /** Server connections of the bench's database, and how long the longest waiting client has waited, in ms. */
  pools(): Promise<{ readonly servers: number; readonly clients: number; readonly waitMsMax: number }>
  stop(): Promise<void>
}

export interface PostgresSettings {
  /** Server connections that PgBouncer opens at most. */
  readonly poolSize: number
}

/** PgBouncer looks for a server that was away at once; its default waits 15 s. */
function poolerConfig(postgres: TestPostgres, port: number, parts: { readonly users: string; readonly poolSize: number }): string {
  return `[databases]
* = host=127.0.0.1 port=${postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${parts.users}
admin_users = postgres
pool_mode = transaction
default_pool_size = ${parts.poolSize}
max_client_conn = 2000
server_login_retry = 0.1
`
}

export async function startPooledPostgres({ poolSize }: PostgresSettings): Promise<Postgres> {
  if (!hasPostgres()) throw new Error('this bench needs a Postgres 18 and PgBouncer: see test/support/postgres.ts')
  const postgres = await startPostgres()
  const database = await postgres.createDatabase()
  const folder = serverFolder('bench-pgbouncer')
  const port = await freePort()
  const users = join(folder, 'users.txt')
  const config = join(folder, 'pgbouncer.ini')
  writeFileSync(users, '"corral_owner" ""\n"postgres" ""\n')
  writeFileSync(config, poolerConfig(postgres, port, { users, poolSize }))
  let pooler = await startServer('pgbouncer', [config], 'process up')
  return {
    directUrl: database.url,
    pooledUrl: database.url.replace(`:${postgres.port}/`, `:${port}/`),
    crash: () => postgres.stop('immediate'),
    start: () => postgres.start(),
    async restartPooler() {
      await endServer(pooler, 'SIGKILL')
      pooler = await startServer('pgbouncer', [config], 'process up')
    },
    pools: () => poolsOf(port, database),
    async stop() {
      await endServer(pooler, 'SIGKILL')
      rmSync(folder, { recursive: true, force: true })
      await postgres.remove()
    },
  }
}

async function poolsOf(port: number, { name }: TestDatabase): Promise<{ servers: number; clients: number; waitMsMax: number }> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'pgbouncer' })
  await client.connect()
  try {
    const { rows } = await client.query<Record<string, string>>('SHOW POOLS')
    const own = rows.filter(({ database }) => database === name)
    const sum = (...columns: readonly string[]): number =>
      own.reduce((total, row) => total + columns.reduce((part, column) => part + Number(row[column] ?? 0), 0), 0)
    const waitMsMax = Math.max(0, ...own.map((row) => Number(row['maxwait'] ?? 0) * 1_000 + Number(row['maxwait_us'] ?? 0) / 1_000))
    return { servers: sum('sv_active', 'sv_idle', 'sv_used', 'sv_tested', 'sv_login'), clients: sum('cl_active', 'cl_waiting'), waitMsMax }
  } finally {
    await client.end()
  }
}
