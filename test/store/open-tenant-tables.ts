/** Looks in the catalogue of Postgres for tables that hold rows of tenants and are not closed by tenant. */
import { type Transaction } from '../../src/store/database.ts'

/** Tables with a column `tenant` that lack the two policies, or do not force them on their owner. */
export async function openTenantTables(transaction: Transaction): Promise<readonly string[]> {
  const { rows } = await transaction.query(`
    select c.relname as name from pg_class c
    where c.relkind in ('r', 'p') and c.relnamespace = current_schema()::regnamespace
      and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant' and not a.attisdropped)
      and not (c.relrowsecurity and c.relforcerowsecurity
        and (select array_agg(p.polname::text order by p.polname) from pg_policy p where p.polrelid = c.oid) @> array['system_rows', 'tenant_rows'])
    order by c.relname`)
  return rows.map(({ name }) => String(name))
}
