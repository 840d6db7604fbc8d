/** Tables of answers, numbers 1200–1249: assistants, and the version by which replicas see that one changed;
 * answers that were given, and what readers think of them. */
import type { Migration } from '../store/migration.ts'
import { tenantTable } from '../store/tenancy.ts'

export const answerMigrations: readonly Migration[] = [
  {
    number: 1200,
    name: 'assistants',
    sql: `
create table rag_assistants (
  tenant text not null,
  -- Canonical model name: what requests are compared with.
  model_name text not null,
  name text not null,
  title text not null,
  collections jsonb not null,
  model text not null,
  prompt text not null,
  settings jsonb not null,
  revision integer not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant, model_name)
);
${tenantTable('rag_assistants')}

create table rag_assistants_version (
  only_row boolean primary key default true check (only_row),
  version bigint not null
);
insert into rag_assistants_version (version) values (1);

-- Every change moves the version on in its own transaction, whoever makes it.
create function rag_assistants_changed() returns trigger language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  update rag_assistants_version set version = version + 1;
  return null;
end $$;
create trigger rag_assistants_changes after insert or update or delete on rag_assistants
  for each statement execute function rag_assistants_changed();
`,
  },
  {
    number: 1201,
    name: 'answers and feedback',
    sql: `
create table rag_answers (
  tenant text not null,
  -- Of the request.
  id text not null,
  subject text,
  collections text[] not null,
  model text not null,
  -- Null: words are not kept.
  question text,
  text text,
  outcome text not null,
  refused boolean not null,
  strength double precision not null,
  cited jsonb not null,
  unsupported integer not null,
  took_ms integer not null,
  created_at timestamptz not null default now(),
  primary key (tenant, id)
);
create index rag_answers_created on rag_answers (created_at);
${tenantTable('rag_answers')}

create table rag_feedback (
  tenant text not null,
  id text not null,
  answer text not null,
  subject text,
  rating text not null check (rating in ('up', 'down')),
  comment text not null,
  labels jsonb not null,
  created_at timestamptz not null default now(),
  primary key (tenant, id),
  unique nulls not distinct (tenant, answer, subject),
  foreign key (tenant, answer) references rag_answers (tenant, id) on delete cascade
);
${tenantTable('rag_feedback')}
`,
  },
]
