/** Debian's PgBouncer in transaction mode before a test's Postgres: four server connections, however many clients. */
import { type ChildProcess } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { freePort } from './free-port.ts'
import { endServer, pgbouncerProgram, serverFolder, startServer, type TestDatabase, type TestPostgres } from './postgres.ts'

export const poolSize = 4

export interface TestPgbouncer {
  /** The URL of a database through it. */
  through(database: TestDatabase): string
  restart(): Promise<void>
  remove(): Promise<void>
}

/** `settings`: further lines of its file. */
export async function startPgbouncer(postgres: TestPostgres, settings: Readonly<Record<string, string>> = {}): Promise<TestPgbouncer> {
  const folder = serverFolder('pgbouncer')
  const port = await freePort()
  const users = join(folder, 'users.txt')
  writeFileSync(users, '"corral_owner" ""\n"postgres" ""\n')
  const file = join(folder, 'pgbouncer.ini')
  // A server that was away is tried again at once; the default waits 15 s.
  writeFileSync(
    file,
    `[databases]
* = host=127.0.0.1 port=${postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 2000
server_login_retry = 0.1
${Object.entries(settings)
  .map(([key, value]) => `${key} = ${value}\n`)
  .join('')}`,
  )
  let child: ChildProcess | null = null
  const start = async (): Promise<void> => {
    child = await startServer(pgbouncerProgram, [file], 'process up')
  }
  await start()
  return {
    through: ({ url }) => url.replace(`:${postgres.port}/`, `:${port}/`),
    async restart() {
      await endServer(child, 'SIGKILL')
      await start()
    },
    async remove() {
      await endServer(child, 'SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
