/**
 * Reads and writes whole tables as text, which every type of Postgres can be turned into and back without loss. Used to move an
 * embedded store to a server, to back it up and to restore it. Rows go in batches of bounded size; tables in the order of their
 * foreign keys. Leaves the schema to the migrations: both ends have the same.
 *
 * Tables that are made at run time are made anew at the target by two functions of the schema, which stand beside what makes them there:
 * `corral_make_table(name)`, true when the table is there then, and `corral_settle_table(name)`, called once the rows of all tables are in.
 */
import { type Row, type Transaction } from './database.ts'
import { MigrationError } from './migrate.ts'

export interface TableShape {
  readonly name: string
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly rowCount: number
}

/** One row: its columns' texts in order of the shape. */
export type TextRow = readonly (string | null)[]

export interface SequenceState {
  readonly name: string
  readonly lastValue: string
  readonly isCalled: boolean
}

/** What a batch is aimed at; rows are never split. */
const batchBytes = 2 * 1_048_576
const batchRowsMax = 1_000
const batchRowsFirst = 20

/** Statements over large tables take their time. */
export const copyLimits = { statementTimeoutMs: 120_000, transactionTimeoutMs: 4 * 3_600_000 }

const tablesQuery = `
select c.relname as name, a.attname as column, format_type(a.atttypid, a.atttypmod) as type
from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and c.relname <> 'corral_migrations'
  and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by c.relname, a.attnum`

const referencesQuery = `
select distinct child.relname as child, parent.relname as parent
from pg_constraint k join pg_class child on child.oid = k.conrelid join pg_class parent on parent.oid = k.confrelid
where k.contype = 'f' and child.oid <> parent.oid and child.relnamespace = current_schema()::regnamespace`

/** The tables of the schema, those that others refer to first, with their numbers of rows. */
export async function tableShapes(transaction: Transaction): Promise<readonly TableShape[]> {
  const columns = new Map<string, { name: string; type: string }[]>()
  for (const row of (await transaction.query(tablesQuery)).rows) {
    const table = textOf(row, 'name')
    const list = columns.get(table) ?? []
    list.push({ name: textOf(row, 'column'), type: textOf(row, 'type') })
    columns.set(table, list)
  }
  const { rows } = await transaction.query(referencesQuery)
  const references = rows.map((row) => ({ child: textOf(row, 'child'), parent: textOf(row, 'parent') }))
  const shapes: TableShape[] = []
  for (const name of inOrder([...columns.keys()], references)) {
    shapes.push({ name, columns: columns.get(name) ?? [], rowCount: await countRows(transaction, name) })
  }
  return shapes
}

/** Parents before children; tables that refer to each other in a ring come last, as they are. */
export function inOrder(
  tables: readonly string[],
  references: readonly { readonly child: string; readonly parent: string }[],
): readonly string[] {
  const open = new Set(tables)
  const order: string[] = []
  for (;;) {
    const free = [...open].filter((table) => !references.some(({ child, parent }) => child === table && open.has(parent)))
    if (free.length === 0) return [...order, ...open]
    for (const table of free) {
      order.push(table)
      open.delete(table)
    }
  }
}

export async function countRows(transaction: Transaction, table: string): Promise<number> {
  const { rows } = await transaction.query(`select count(*)::text as count from ${quoted(table)}`)
  return Number(rows[0]?.['count'])
}

/** All rows of a table, in batches. */
export async function* readRows(transaction: Transaction, { name, columns }: TableShape): AsyncGenerator<readonly TextRow[]> {
  const list = columns.map((column, index) => `${quoted(column.name)}::text as c${index}`).join(', ')
  await transaction.query(`declare corral_copy no scroll cursor for select ${list} from ${quoted(name)}`)
  let count = batchRowsFirst
  for (;;) {
    const { rows } = await transaction.query(`fetch ${count} from corral_copy`)
    if (rows.length === 0) break
    const batch = rows.map((row) => columns.map((_, index) => nullableText(row, `c${index}`)))
    const bytes = batch.reduce((sum, row) => sum + row.reduce((length, text) => length + (text?.length ?? 0), 0), 1)
    count = Math.max(1, Math.min(batchRowsMax, Math.floor((batchBytes * batch.length) / bytes)))
    yield batch
  }
  await transaction.query('close corral_copy')
}

/** Inserts a batch as it was read. Identity columns keep their numbers. */
export async function writeRows(transaction: Transaction, { name, columns }: TableShape, rows: readonly TextRow[]): Promise<void> {
  const names = columns.map((column) => quoted(column.name)).join(', ')
  const casts = columns.map(({ type }, index) => `u.c${index}::${type}`).join(', ')
  const arrays = columns.map((_, index) => `$${index + 1}::text[]`).join(', ')
  const aliases = columns.map((_, index) => `c${index}`).join(', ')
  const values = columns.map((_, index) => rows.map((row) => row[index] ?? null))
  await transaction.query(
    `insert into ${quoted(name)} (${names}) overriding system value select ${casts} from unnest(${arrays}) as u(${aliases})`,
    values,
  )
}

/**
 * Makes the tables that migrations did not, empties all of what migrations put into them, and keeps triggers from acting on the copy.
 * Gives the names of those it made. Throws `MigrationError` for a table that cannot be made here.
 */
export async function prepareTarget(transaction: Transaction, tables: readonly string[]): Promise<readonly string[]> {
  const made = await missingTables(transaction, tables)
  for (const table of made) await makeTable(transaction, table)
  for (const table of tables) await transaction.query(`alter table ${quoted(table)} disable trigger user`)
  if (tables.length > 0) await transaction.query(`truncate ${tables.map(quoted).join(', ')}`)
  return made
}

async function missingTables(transaction: Transaction, tables: readonly string[]): Promise<readonly string[]> {
  const missing: string[] = []
  for (const table of tables) {
    const { rows } = await transaction.query('select to_regclass($1) is null as is_missing', [quoted(table)])
    if (rows[0]?.['is_missing'] === true) missing.push(table)
  }
  return missing
}

async function makeTable(transaction: Transaction, table: string): Promise<void> {
  const { rows: known } = await transaction.query(`select to_regprocedure('corral_make_table(text)') is not null as is_known`)
  const { rows } =
    known[0]?.['is_known'] === true ? await transaction.query('select corral_make_table($1) as is_there', [table]) : { rows: [] }
  if (rows[0]?.['is_there'] === true) return
  throw new MigrationError(
    `table ${table} cannot be made in the target; a table of vectors needs pgvector: an admin runs "create extension vector" there once`,
  )
}

export interface FilledTarget {
  readonly tables: readonly string[]
  /** What `prepareTarget` gave. */
  readonly made: readonly string[]
}

/** Called when all rows are in. */
export async function finishTarget(transaction: Transaction, { tables, made }: FilledTarget): Promise<void> {
  for (const table of tables) await transaction.query(`alter table ${quoted(table)} enable trigger user`)
  for (const table of made) await transaction.query('select corral_settle_table($1)', [table])
}

/** Where the sequences stand, so that new rows get numbers that are free. */
export async function readSequences(transaction: Transaction): Promise<readonly SequenceState[]> {
  const { rows } = await transaction.query(
    `select relname as name from pg_class where relkind = 'S' and relnamespace = current_schema()::regnamespace order by relname`,
  )
  const states: SequenceState[] = []
  for (const row of rows) {
    const name = textOf(row, 'name')
    const { rows: found } = await transaction.query(`select last_value::text as last, is_called from ${quoted(name)}`)
    states.push({ name, lastValue: String(found[0]?.['last']), isCalled: found[0]?.['is_called'] === true })
  }
  return states
}

export async function writeSequences(transaction: Transaction, states: readonly SequenceState[]): Promise<void> {
  for (const { name, lastValue, isCalled } of states) {
    await transaction.query('select setval($1::regclass, $2::bigint, $3)', [quoted(name), lastValue, isCalled])
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function textOf(row: Row, column: string): string {
  const value = row[column]
  if (typeof value !== 'string') throw new Error(`the catalogue has no text in ${column}`)
  return value
}

function nullableText(row: Row, column: string): string | null {
  return row[column] === null ? null : textOf(row, column)
}
