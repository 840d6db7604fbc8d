/** An embedded store with rows of every kind of column that a copy could harm, and a digest of them. */
import { onTestFinished } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { type Database, type Row, type Transaction } from '../../src/store/database.ts'
import { type Embedded } from '../../src/store/embedded.ts'
import { migrate } from '../../src/store/migrate.ts'
import { type Migration } from '../../src/store/migration.ts'
import { tenantTable } from '../../src/store/tenancy.ts'
import { bareFolder } from '../support/postgres-embedded.ts'
import { embeddedOn } from './stores.ts'

const schema: Migration = {
  number: 9001,
  name: 'everything',
  sql: `
create extension if not exists vector;
create table a_children (tenant text not null, key bigint generated always as identity primary key, parent int not null, bytes bytea, at timestamptz);
create table parents (key int primary key, "odd ""name" text, list text[], json jsonb, vector vector(3), half real, double double precision,
  twice int generated always as (key * 2) stored);
alter table a_children add foreign key (parent) references parents (key);
create table log (entry text);
create function refuse() returns trigger language plpgsql as $$ begin raise 'append only'; end $$;
create trigger log_stays before update or delete on log for each row execute function refuse();
create trigger log_adds before insert on log for each row when (new.entry = 'refused') execute function refuse();
insert into log values ('seeded by the migration');
${tenantTable('a_children')}`,
}
export const later: Migration = { number: 9002, name: 'later', sql: 'create table later (key int)' }
export const migrations: readonly Migration[] = [schema]

export const parentCount = 2_500

async function fill(database: Database): Promise<void> {
  await database.tx('system', async (transaction) => {
    await transaction.query(`insert into parents (key, "odd ""name", list, json, vector, half, double)
      select n, case when n % 3 = 0 then null else 'tab' || chr(9) || 'quote "''\\ ' || n end, array['a,b', null, '{"' || n],
        jsonb_build_object('n', n, 'big', 12345678901234567890), array[n, 0.1, -1]::vector, n / 3.0, n / 7.0 from generate_series(1, ${parentCount}) n`)
    await transaction.query(`insert into a_children (tenant, parent, bytes, at)
      select 'tenant ' || n % 5, n, decode(md5(n::text), 'hex'), '2026-01-01'::timestamptz + n * interval '1.000001 s' from generate_series(1, 700) n`)
    await transaction.query(`insert into a_children (tenant, parent, bytes) values ('large', 1, $1)`, [Buffer.alloc(3_000_000, 7)])
  })
}

const digestQuery = `select
  (select md5(string_agg(p::text, '|' order by key)) from parents p) as parents,
  (select md5(string_agg(c::text, '|' order by key)) from a_children c) as children,
  (select string_agg(entry, ',' order by entry) from log) as log`
export const digest = (database: Database): Promise<Row | undefined> =>
  database.tx('system', async (transaction: Transaction) => (await transaction.query(digestQuery)).rows[0], { statementTimeoutMs: 10_000 })

export async function filled(): Promise<{ database: Embedded; dataDir: string }> {
  const dataDir = await bareFolder()
  const database = embeddedOn(dataDir)
  await database.open()
  onTestFinished(() => database.close())
  await migrate(database, migrations, systemClock)
  await fill(database)
  return { database, dataDir }
}
