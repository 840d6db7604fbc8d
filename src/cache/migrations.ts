/** Tables of the caches, numbers 300–399. `cache_entries` is closed by tenant; `cache_epochs` holds counters of purges and no tenant's data. */
import type { Migration } from '../store/migration.ts'
import { tenantTable } from '../store/tenancy.ts'

export const cacheMigrations: readonly Migration[] = [
  {
    number: 300,
    name: 'cache entries',
    sql: `
create table cache_entries (
  tenant text not null,
  key text not null,
  kind text not null,
  digest text not null,
  bytes bytea not null,
  size integer not null,
  checksum bigint not null,
  born_at timestamptz not null,
  stale_at timestamptz not null,
  drop_at timestamptz not null,
  primary key (tenant, key)
);
create index cache_entries_drop_at on cache_entries (drop_at);
${tenantTable('cache_entries')}

create table cache_epochs (
  name text primary key,
  value bigint not null
);`,
  },
]
