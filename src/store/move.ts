/**
 * Moves an embedded store to a Postgres server: brings both schemas to the same state, copies every table in one transaction and
 * compares the numbers of rows before it commits. The embedded store stays as it is. Refuses a target that holds anything.
 */
import { type Clock } from '../base/clock.ts'
import {
  copyLimits,
  countRows,
  finishTarget,
  prepareTarget,
  readRows,
  readSequences,
  type TableShape,
  tableShapes,
  writeRows,
  writeSequences,
} from './copy.ts'
import { type Database, type Transaction } from './database.ts'
import { applyPending, migrate, MigrationError } from './migrate.ts'
import { type Migration } from './migration.ts'

export interface MovedTable {
  readonly name: string
  readonly rowCount: number
}

export interface MoveDeps {
  readonly clock: Clock
  readonly migrations: readonly Migration[]
}

/** Copies `source` into `target` and returns what went over. Throws `MigrationError`; then the target is as it was. */
export async function moveTo(source: Database, target: Database, { clock, migrations }: MoveDeps): Promise<readonly MovedTable[]> {
  await migrate(source, migrations, clock)
  const read = (from: Transaction): Promise<readonly MovedTable[]> => target.tx('system', (to) => copyAll(from, to, migrations), copyLimits)
  return source.tx('system', read, { ...copyLimits, readOnly: true })
}

async function copyAll(from: Transaction, to: Transaction, migrations: readonly Migration[]): Promise<readonly MovedTable[]> {
  await refuseRows(to)
  await applyPending(to, migrations)
  const shapes = await tableShapes(from)
  const names = shapes.map(({ name }) => name)
  const made = await prepareTarget(to, names)
  for (const shape of shapes) {
    for await (const rows of readRows(from, shape)) await writeRows(to, shape, rows)
  }
  await writeSequences(to, await readSequences(from))
  await finishTarget(to, { tables: names, made })
  for (const shape of shapes) await compareCount(to, shape)
  return shapes.map(({ name, rowCount }) => ({ name, rowCount }))
}

async function refuseRows(to: Transaction): Promise<void> {
  const filled = (await tableShapes(to)).find(({ rowCount }) => rowCount > 0)
  if (filled === undefined) return
  throw new MigrationError(`the target is not empty: its table ${filled.name} has ${filled.rowCount} rows; give an empty database`)
}

/** Throws `MigrationError` when the target has another number of rows than was read. */
export async function compareCount(to: Transaction, { name, rowCount }: TableShape): Promise<void> {
  const arrived = await countRows(to, name)
  if (arrived !== rowCount) throw new MigrationError(`table ${name} has ${rowCount} rows, but ${arrived} arrived: nothing was copied`)
}
