/** Switches that outlive a process and hold for all replicas: one row for each capability that differs from the configuration. */
import { z } from 'zod'

import type { RowStore } from '../../base/followed-rows.ts'
import type { Switch } from '../../core/operator-settings.ts'
import { type Database, isShared } from '../../store/database.ts'
import type { Migration } from '../../store/migration.ts'

/** Numbers 1400–1499. It holds no tenant's data. */
export const switchMigrations: readonly Migration[] = [
  {
    number: 1400,
    name: 'feature switches',
    sql: `
create table feature_switches (
  name text primary key,
  is_on boolean not null,
  switched_by text not null,
  switched_at timestamptz not null
);`,
  },
]

const rowShape = z.object({ name: z.string(), on: z.boolean(), by: z.string(), at: z.coerce.number() })
/** Far more than there are capabilities in any version. */
const rowsMax = 1_000

/** Null where nothing is kept. */
export function createSwitchStore(database: Database | null): RowStore<Switch> | null {
  if (database === null) return null
  return {
    shared: isShared(database),
    load: () =>
      database.tx(
        'system',
        async ({ last }) => {
          const text = `select name, is_on as on, switched_by as by, extract(epoch from switched_at) * 1000 as at
            from feature_switches limit ${rowsMax}`
          const rows = (await last(text)).rows.map((row) => rowShape.parse(row))
          return new Map(rows.map(({ name, on, by, at }) => [name, { on, by, atWallMs: Math.round(at) }]))
        },
        { name: 'read_switches', readOnly: true },
      ),
    write: (name, wanted) =>
      database.tx(
        'system',
        async (transaction) => {
          if (wanted === null) {
            await transaction.query('delete from feature_switches where name = $1', [name])
            return
          }
          const text = `insert into feature_switches (name, is_on, switched_by, switched_at) values ($1, $2, $3, to_timestamp($4))
          on conflict (name) do update set is_on = excluded.is_on, switched_by = excluded.switched_by, switched_at = excluded.switched_at`
          await transaction.query(text, [name, wanted.on, wanted.by, wanted.atWallMs / 1_000])
        },
        { name: 'write_switch' },
      ),
  }
}
