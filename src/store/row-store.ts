/** A table of rows by name, none of them a tenant's, as `FollowedRows` keeps them: read whole, and written one at a time. */
import type { RowStore } from '../base/followed-rows.ts'
import { type Database, isShared, type Row } from './database.ts'

/** Far more than operators change by hand. */
const rowsMax = 10_000

export interface RowTable<V> {
  /** Its key is the column `name`. */
  readonly table: string
  /** What the two transactions are counted under. */
  readonly names: { readonly read: string; readonly write: string }
  /** Gives all rows. */
  readonly selectText: string
  /** Null: the row counts for nothing. */
  readonly decode: (row: Row) => readonly [name: string, value: V] | null
  /** Puts a row in, or in the place of the one of its name, which is `$1`; `valuesOf` gives those from `$2` on. */
  readonly upsertText: string
  readonly valuesOf: (value: V) => readonly unknown[]
}

/** Both methods throw what `tx` throws, and what `decode` throws. */
export function createRowStore<V>(database: Database, rowTable: RowTable<V>): RowStore<V> {
  const { table, names, selectText, decode, upsertText, valuesOf } = rowTable
  return {
    shared: isShared(database),
    async load() {
      const read = { name: names.read, readOnly: true }
      const { rows } = await database.tx('system', ({ last }) => last(`${selectText} limit ${rowsMax}`), read)
      return new Map(rows.map(decode).filter((entry) => entry !== null))
    },
    async write(name, value) {
      const text = value === null ? `delete from ${table} where name = $1` : upsertText
      const values = value === null ? [] : valuesOf(value)
      await database.tx('system', ({ query }) => query(text, [name, ...values]), { name: names.write })
    },
  }
}
