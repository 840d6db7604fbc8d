/** Switches that outlive a process and hold for all replicas: one row for each capability that differs from the configuration. */
import { z } from 'zod'

import type { RowStore } from '../../base/followed-rows.ts'
import type { Switch } from '../../core/operator-settings.ts'
import type { Database } from '../../store/database.ts'
import type { Migration } from '../../store/migration.ts'
import { createRowStore } from '../../store/row-store.ts'

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
/** Null where nothing is kept. */
export function createSwitchStore(database: Database | null): RowStore<Switch> | null {
  if (database === null) return null
  return createRowStore(database, {
    table: 'feature_switches',
    names: { read: 'read_switches', write: 'write_switch' },
    selectText: 'select name, is_on as on, switched_by as by, extract(epoch from switched_at) * 1000 as at from feature_switches',
    decode(row) {
      const { name, on, by, at } = rowShape.parse(row)
      return [name, { on, by, atWallMs: Math.round(at) }]
    },
    upsertText: `insert into feature_switches (name, is_on, switched_by, switched_at) values ($1, $2, $3, to_timestamp($4))
      on conflict (name) do update set is_on = excluded.is_on, switched_by = excluded.switched_by, switched_at = excluded.switched_at`,
    valuesOf: ({ on, by, atWallMs }) => [on, by, atWallMs / 1_000],
  })
}
