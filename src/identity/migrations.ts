/**
 * Tables of identity, numbers 100–199. Keys and tenants are closed by tenant; the audit log besides takes no update, delete
 * or truncate from anybody, and each entry carries the hash of the one before it.
 */
import type { Migration } from '../store/migration.ts'
import { tenantTable } from '../store/tenancy.ts'

export const identityMigrations: readonly Migration[] = [
  {
    number: 100,
    name: 'tenants-and-keys',
    sql: `
create table tenants (
  tenant text primary key check (tenant ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
  title text not null default '',
  limits jsonb not null,
  created_at timestamptz not null,
  suspended_at timestamptz
);
${tenantTable('tenants')}

create table api_keys (
  id text primary key,
  tenant text not null references tenants (tenant),
  kind text not null check (kind in ('secret', 'ed25519')),
  digest bytea not null,
  pepper text not null,
  title text not null,
  scopes jsonb not null,
  models jsonb,
  node_group text,
  limits jsonb not null,
  created_at timestamptz not null,
  created_by text,
  expires_at timestamptz,
  last_used_at timestamptz,
  rotated_from text references api_keys (id),
  revoked_at timestamptz,
  revoked_reason text
);
create index api_keys_tenant on api_keys (tenant, created_at);
create unique index api_keys_signing on api_keys (digest) where kind = 'ed25519' and revoked_at is null;
${tenantTable('api_keys')}

create table identity_version (
  only_row boolean primary key default true check (only_row),
  version bigint not null
);
insert into identity_version (version) values (1);
`,
  },
  {
    number: 101,
    name: 'audit-log',
    sql: `
create table audit_head (
  only_row boolean primary key default true check (only_row),
  seq bigint not null,
  hash text not null
);
insert into audit_head (seq, hash) values (0, '');

create table audit_log (
  seq bigint primary key,
  tenant text not null,
  at text not null,
  actor text not null,
  action text not null,
  target text not null,
  decision text not null,
  request_id text not null,
  address text not null,
  count integer not null,
  hash text not null
);
create index audit_log_tenant on audit_log (tenant, seq);
${tenantTable('audit_log')}

create function audit_log_keeps() returns trigger language plpgsql as $$
begin
  raise exception 'the audit log takes no %', tg_op;
end
$$;
create trigger audit_log_rows before update or delete on audit_log for each row execute function audit_log_keeps();
create trigger audit_log_whole before truncate on audit_log for each statement execute function audit_log_keeps();
`,
  },
  {
    number: 102,
    name: 'revoked-tokens',
    sql: `
create table revoked_tokens (
  id text primary key,
  issuer text not null,
  subject text,
  token_id text,
  revoked_at timestamptz not null,
  until timestamptz not null
);
create index revoked_tokens_until on revoked_tokens (until);
`,
  },
  {
    number: 103,
    name: 'cache-mode-of-keys',
    sql: `alter table api_keys add column cache text check (cache in ('auto', 'on', 'off'));`,
  },
]
