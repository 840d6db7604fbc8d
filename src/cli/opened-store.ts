/** The store of the configuration, opened for one command, and its failures as sentences for the person at the terminal. */
import { systemClock } from '../base/clock.ts'
import { dataFolder } from '../config/data-folder.ts'
import { type Config } from '../config/index.ts'
import { BackupError } from '../store/backup-file.ts'
import { DataFolderError } from '../store/data-folder.ts'
import { FolderInUseError } from '../store/folder-lock.ts'
import { MigrationError } from '../store/migrate.ts'
import { createDatabase, type OpenableDatabase, type StoreDeps } from '../store/store.ts'
import { CorralError } from '../core/errors.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { printMessage } from './output.ts'

export const storeDeps: StoreDeps = {
  clock: systemClock,
  random: Math.random,
  report: (message, cause) => printMessage(`corral: ${message}${cause instanceof Error ? ` (${cause.message})` : ''}`),
}

/** The store's options with the folder that holds when none is named. */
export function storeOptionsOf({ store }: Config): Config['store'] & { readonly dataDir: string } {
  if (!store.enabled) throw new CliError(exitCodes.usage, 'the store is switched off (store.enabled)')
  return { ...store, dataDir: dataFolder({ store }) }
}

/** Where the store is, without its password. */
export function placeOf({ url, directUrl, dataDir }: { url: string | null; directUrl: string | null; dataDir: string }): string {
  const server = directUrl ?? url
  return server === null ? `embedded Postgres in ${dataDir}` : shownUrl(server)
}

/** A URL of a database for people: no password, no parameters. */
export function shownUrl(url: string): string {
  const { protocol, username, host, pathname } = new URL(url)
  return `${protocol}//${username === '' ? '' : `${username}@`}${host}${pathname}`
}

/** Opens the configured store past any pooler, runs `work` and closes it. Failures become a `CliError`. */
export async function withStore<T>(config: Config, work: (database: OpenableDatabase) => Promise<T>): Promise<T> {
  const options = storeOptionsOf(config)
  const database = await createDatabase({ ...options, url: options.directUrl ?? options.url }, storeDeps)
  return inSentences(async () => {
    try {
      await database.open()
      return await work(database)
    } finally {
      await database.close()
    }
  })
}

/** Runs `work`; what an operator can mend becomes a `CliError` of one sentence. */
export async function inSentences<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof DataFolderError) throw new CliError(exitCodes.usage, error.message)
    if (error instanceof CorralError || isDatabaseError(error)) throw new CliError(exitCodes.failure, causeChain(error))
    if (error instanceof FolderInUseError || error instanceof MigrationError || error instanceof BackupError) {
      throw new CliError(exitCodes.failure, error.message)
    }
    throw error
  }
}

/** An answer of Postgres, or the system's error about a file that the command names. */
function isDatabaseError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
}

function causeChain(error: Error): string {
  return error.cause instanceof Error && error.cause.message !== '' ? `${error.message}: ${causeChain(error.cause)}` : error.message
}
