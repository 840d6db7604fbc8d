/** `corral migrate`: the schema's state, bringing it up, and moving an embedded store to a server. */
import { systemClock } from '../base/clock.ts'
import { storeOptions } from '../store/options.ts'
import { createPostgres } from '../store/postgres.ts'
import { migrate, migrationStatus, type MigrationStatus } from '../store/migrate.ts'
import { moveTo } from '../store/move.ts'
import { migrations } from '../migrations.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { inSentences, placeOf, shownUrl, storeDeps, storeOptionsOf, withStore } from './opened-store.ts'
import { painter, printData, printJson, printMessage, table } from './output.ts'
import { type ConfigOptions, settingsOf } from './settings.ts'

export interface MigrateUpOptions extends ConfigOptions {
  readonly dryRun?: boolean
}

export interface MigrateStatusOptions extends ConfigOptions {
  readonly json?: boolean
}

/** `corral migrate status`. */
export async function migrateStatusCommand(options: MigrateStatusOptions): Promise<void> {
  const { config } = await settingsOf(options)
  const status = await withStore(config, (database) => migrationStatus(database, migrations))
  const store = placeOf(storeOptionsOf(config))
  if (options.json === true) {
    const pending = status.pending.map(({ number, name }) => ({ number, name }))
    return printJson({ store, applied: status.applied.map(({ number, name, appliedAt }) => ({ number, name, appliedAt })), pending })
  }
  printMessage(`${store}: ${summary(status)}`)
  if (status.applied.length + status.pending.length > 0) printData(table(statusRows(status)))
}

function summary({ applied, pending }: MigrationStatus): string {
  return pending.length === 0
    ? `up to date, ${applied.length} migrations`
    : `${applied.length} migrations applied, ${pending.length} pending`
}

function statusRows({ applied, pending }: MigrationStatus): readonly (readonly string[])[] {
  const paint = painter(process.stdout)
  const done = applied.map(({ number, name, appliedAt }) => [String(number), name, paint('dim', appliedAt.toISOString())])
  const open = pending.map(({ number, name }) => [String(number), name, paint('yellow', 'pending')])
  return [...done, ...open]
}

/** `corral migrate up`: applies what is pending, or prints its SQL. */
export async function migrateUpCommand(options: MigrateUpOptions): Promise<void> {
  const { config } = await settingsOf(options)
  const place = placeOf(storeOptionsOf(config))
  if (options.dryRun === true) {
    const { pending } = await withStore(config, (database) => migrationStatus(database, migrations))
    for (const { number, name, sql } of pending) printData(`-- ${number} ${name}\n${sql.trim()}\n`)
    return printMessage(`${place}: ${pending.length} migrations would be applied`)
  }
  const applied = await withStore(config, (database) => migrate(database, migrations, systemClock))
  for (const { number, name } of applied) printData(`${number} ${name}`)
  printMessage(`${place}: ${applied.length === 0 ? 'up to date, nothing to do' : `${applied.length} migrations applied`}`)
}

/** `corral migrate --to URL`: copies the embedded store into an empty database of a server. */
export async function migrateToCommand(options: ConfigOptions & { readonly to: string }): Promise<void> {
  const { config } = await settingsOf(options)
  const target = storeOptions.shape.url.safeParse(options.to)
  if (!target.success || target.data === null)
    throw new CliError(exitCodes.usage, '--to wants a URL as postgres://user:password@host:5432/name')
  const { data: url } = target
  if (config.store.url !== null) throw new CliError(exitCodes.usage, 'store.url is set: only an embedded store can be moved')
  const server = createPostgres({ ...storeOptionsOf(config), url }, storeDeps)
  try {
    const moved = await withStore(config, (database) => inSentences(() => moveTo(database, server, { clock: systemClock, migrations })))
    printData(table(moved.map(({ name, rowCount }) => [name, `${rowCount} rows`])))
  } finally {
    await server.close()
  }
  printMessage(`moved to ${shownUrl(url)}, counts compared. Set store.url (or DATABASE_URL) to it; the embedded store stays as it is.`)
}
