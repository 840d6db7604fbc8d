/**
 * The files of the embedded database: `postgres` in the data folder. They come into being whole: made by a child process beside
 * their place, then renamed, for a database whose making was interrupted can never be opened. Whoever calls holds the folder's lock.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { type Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { entryPoint } from './entry-point.ts'

/** Major version of the Postgres in PGlite 0.5. */
const postgresMajor = '18'
const errorBytesMax = 4_096
const unfinishedPrefix = 'postgres.new-'
/** The child of a process that was killed may still be writing for a moment. */
const removal = { recursive: true, force: true, maxRetries: 10, retryDelay: 100 } as const

export function databaseFolder(dataDir: string): string {
  return join(dataDir, 'postgres')
}

/** Makes the database unless there is one. Throws `store_unavailable`. */
export async function ensureDatabase(dataDir: string, { clock, timeoutMs }: { clock: Clock; timeoutMs: number }): Promise<void> {
  const folder = databaseFolder(dataDir)
  for (const name of readdirSync(dataDir)) {
    if (name.startsWith(unfinishedPrefix)) rmSync(join(dataDir, name), removal)
  }
  if (existsSync(folder)) {
    checkVersion(folder)
    return
  }
  const unfinished = join(dataDir, `${unfinishedPrefix}${process.pid}`)
  await initdb(unfinished, clock, timeoutMs)
  renameSync(unfinished, folder)
}

function checkVersion(folder: string): void {
  const file = join(folder, 'PG_VERSION')
  const version = existsSync(file) ? readFileSync(file, 'utf8').trim() : 'no'
  if (version === postgresMajor) return
  throw new CorralError(
    'store_unavailable',
    `the embedded database has files of Postgres ${version}, this Corral needs ${postgresMajor}: restore a backup into an empty folder`,
  )
}

async function initdb(folder: string, clock: Clock, timeoutMs: number): Promise<void> {
  const child = spawn(process.execPath, [fileURLToPath(entryPoint('initdb-process')), folder], { stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => {
    errors = `${errors}${chunk.toString()}`.slice(-errorBytesMax)
  })
  const { promise, resolve } = Promise.withResolvers<string>()
  child.on('error', (error) => resolve(error.message))
  child.on('close', (code, signal) => resolve(code === 0 ? '' : `it ended with ${String(code ?? signal)}: ${errors}`))
  const timer = clock.after(timeoutMs, () => child.kill('SIGKILL'))
  const problem = await promise
  timer.cancel()
  if (problem !== '') throw new CorralError('store_unavailable', 'the embedded database could not be made', { cause: new Error(problem) })
}
