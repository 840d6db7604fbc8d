/** Tables of usage, numbers 200–299. Rows are closed by tenant; `usage_batches` holds no tenant's data, only which batches were written. */
import type { Migration } from '../store/migration.ts'
import { tenantTable } from '../store/tenancy.ts'

export const limitsMigrations: readonly Migration[] = [
  {
    number: 200,
    name: 'usage',
    sql: `
create table usage_records (
  id bigint generated always as identity primary key,
  tenant text not null,
  subject text,
  request text not null,
  at timestamptz not null,
  model text,
  node text,
  route text not null,
  status integer not null,
  outcome text not null,
  cache text,
  prompt_tokens bigint not null,
  output_tokens bigint not null,
  cached_prompt_tokens bigint not null,
  gpu_us bigint not null,
  duration_ms bigint not null,
  ttft_ms bigint,
  stream boolean not null,
  error text,
  attempts integer not null
);
create index usage_records_tenant on usage_records (tenant, at, id);
create index usage_records_at on usage_records (at, id);
${tenantTable('usage_records')}

create table gpu_usage (
  tenant text not null,
  place text not null,
  period text not null,
  gpu_us bigint not null,
  updated_at timestamptz not null,
  primary key (tenant, place, period)
);
create index gpu_usage_updated on gpu_usage (updated_at);
${tenantTable('gpu_usage')}

create table usage_batches (
  id text primary key,
  at timestamptz not null
);
`,
  },
  {
    number: 201,
    name: 'usage estimated',
    sql: 'alter table usage_records add column estimated boolean not null default false',
  },
  {
    number: 202,
    name: 'usage texts',
    sql: `
create table usage_texts (
  id bigint generated always as identity primary key,
  tenant text not null,
  request text not null,
  at timestamptz not null,
  prompt text not null,
  prompt_cut boolean not null,
  answer text,
  answer_cut boolean not null
);
create index usage_texts_request on usage_texts (tenant, request, at);
create index usage_texts_at on usage_texts (at, id);
create index usage_records_request on usage_records (request, at);
${tenantTable('usage_texts')}
`,
  },
  {
    number: 203,
    name: 'usage phases',
    sql: `alter table usage_records add column reason text, add column queue_ms bigint, add column retry_ms bigint,
  add column load_ms bigint, add column prompt_ms bigint, add column output_ms bigint`,
  },
]
