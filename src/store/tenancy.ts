/**
 * Row-level security: which rows a transaction sees, whatever its SQL says. Every table with a `tenant` column carries two
 * policies, made by `tenantTable`: rows of the tenant in `app.tenant`, and all rows when `app.scope` is `system`. Both settings
 * are local to the transaction and set by `tx` alone; unset they read null or '' and no row is visible, so forgetting fails closed.
 *
 * The user in `store.url` may be a plain owner of the tables: FORCE makes the policies bind it, and nothing else is needed.
 * A superuser or a role with BYPASSRLS (PGlite's only user is one) is not bound by policies, so its tenant transactions step
 * down to the role `corral_tenant`, which `migrate` makes. Where it may not (BYPASSRLS without CREATEROLE), an admin runs once:
 *     create role corral_tenant nologin; grant corral_tenant to THE_USER;
 * When the owner of the tables (`store.directUrl`) and the user in `store.url` differ, the latter needs besides:
 *     grant select, insert, update, delete on all tables in schema public to THE_USER; grant usage on all sequences in schema public to THE_USER;
 * Queries still name their tenant (`where tenant = $1`): it lets an index be used; the policy is what holds.
 */
import type { TransactionScope } from './database.ts'

/** The role that tenant transactions of an unbound user step down to. */
export const tenantRole = 'corral_tenant'

const identifierPattern = /^[a-z_][a-z0-9_]{0,62}$/

/**
 * The SQL that closes a table by tenant, for the migration that creates it. The table has a column `tenant text not null`.
 *
 *     sql: `create table usage_records (tenant text not null, ...); ${tenantTable('usage_records')}`
 */
export function tenantTable(table: string): string {
  if (!identifierPattern.test(table)) throw new Error(`not a plain table name: ${table}`)
  const own = `tenant = nullif(current_setting('app.tenant', true), '')`
  const system = `current_setting('app.scope', true) = 'system'`
  return `
alter table ${table} enable row level security;
alter table ${table} force row level security;
create policy tenant_rows on ${table} using (${own}) with check (${own});
create policy system_rows on ${table} using (${system}) with check (${system});`
}

/** An SQL literal, safe under either setting of `standard_conforming_strings`. */
export function sqlLiteral(text: string): string {
  if (text.includes('\0')) throw new Error('a NUL in an SQL text')
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`
  return text.includes('\\') ? ` E${quoted}` : quoted
}

/**
 * The settings a transaction begins with, as the columns of one `select`. The role steps down in the same statement, so that no
 * statement of a tenant runs before it.
 */
export function scopeSettings(scope: TransactionScope): readonly string[] {
  if (scope === 'system') return [setting('app.tenant', ''), setting('app.scope', 'system')]
  if (scope.tenant === '') throw new Error('a transaction of no tenant')
  const role = `case when (select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user) then '${tenantRole}' else 'none' end`
  return [setting('app.tenant', scope.tenant), setting('app.scope', 'tenant'), `pg_catalog.set_config('role', ${role}, true)`]
}

/** The column that sets `name` for the rest of the transaction. */
export function setting(name: string, value: string): string {
  return `pg_catalog.set_config('${name}', ${sqlLiteral(value)}, true)`
}
