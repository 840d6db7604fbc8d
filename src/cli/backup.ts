/** `corral backup FILE` and `corral restore FILE`: the embedded store as one file. */
import { backup } from '../store/backup.ts'
import { type MovedTable } from '../store/move.ts'
import { restore } from '../store/restore.ts'
import { type Config } from '../config/index.ts'
import { migrations } from '../migrations.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { inSentences, storeDeps, storeOptionsOf, withStore } from './opened-store.ts'
import { printMessage } from './output.ts'
import { type ConfigOptions, settingsOf } from './settings.ts'

function refuseServer({ store }: Config): void {
  if (store.url !== null) throw new CliError(exitCodes.usage, 'store.url is set: use the tools of Postgres (pg_dump, pg_restore)')
}

function counted(tables: readonly MovedTable[]): string {
  return `${tables.length} tables, ${tables.reduce((sum, { rowCount }) => sum + rowCount, 0)} rows`
}

/** Writes the embedded store to `file`. The gateway on it has to be stopped. */
export async function backupCommand(file: string, options: ConfigOptions): Promise<void> {
  const { config } = await settingsOf(options)
  refuseServer(config)
  const tables = await withStore(config, (database) => backup(database, file, migrations))
  printMessage(`${file}: ${counted(tables)}`)
}

/** Puts the store of `file` in place of the embedded one. The gateway on it has to be stopped. */
export async function restoreCommand(file: string, options: ConfigOptions): Promise<void> {
  const { config } = await settingsOf(options)
  refuseServer(config)
  const store = storeOptionsOf(config)
  const { tables, before } = await inSentences(() => restore(store, file, { ...storeDeps, migrations }))
  printMessage(`${store.dataDir}: ${counted(tables)} restored`)
  if (before !== null) printMessage(`what was there before lies in ${before}`)
}
