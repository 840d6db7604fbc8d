/**
 * Tables of ingest, numbers 1100–1199: the bytes that were given (`rag_sources`), the jobs that turn them into documents, and what a job
 * has made so far. What can be found is `search`'s; a collection that is deleted takes all of this with it.
 */
import type { Migration } from '../store/migration.ts'
import { tenantTable } from '../store/tenancy.ts'

export const ingestMigrations: readonly Migration[] = [
  {
    number: 1100,
    name: 'sources and jobs of ingest',
    sql: `
create table rag_sources (
  tenant text not null,
  id text not null,
  collection text not null,
  document text not null,
  name text not null,
  declared_type text,
  uri text,
  -- Null while its bytes are arriving.
  sha256 text,
  size_bytes bigint not null default 0,
  created_at timestamptz not null default now(),
  primary key (tenant, id),
  foreign key (tenant, collection) references rag_collections (tenant, id) on delete cascade
);
create index rag_sources_document on rag_sources (tenant, collection, document, created_at);
create index rag_sources_unfinished on rag_sources (created_at) where sha256 is null;
${tenantTable('rag_sources')}

create table rag_source_parts (
  tenant text not null,
  source text not null,
  part integer not null,
  data bytea not null check (octet_length(data) <= 1048576),
  primary key (tenant, source, part),
  foreign key (tenant, source) references rag_sources (tenant, id) on delete cascade
);
${tenantTable('rag_source_parts')}

create table rag_jobs (
  tenant text not null,
  id text not null,
  collection text not null,
  document text not null,
  kind text not null check (kind in ('upload', 'url', 'reingest')),
  state text not null check (state in ('queued', 'running', 'paused', 'done', 'failed', 'cancelled')),
  stage text not null check (stage in ('upload', 'extract', 'chunk', 'embed', 'index')),
  -- Counts by stage: {"embed": {"done": 3, "total": 9}}.
  counts jsonb not null default '{}',
  stage_started_at timestamptz,
  -- Smaller goes first.
  priority smallint not null,
  source text,
  name text not null,
  title text,
  uri text,
  metadata jsonb not null,
  is_searchable_without_vectors boolean not null,
  skips_duplicates boolean not null,
  -- SHA-256 of the bytes; null until they are there.
  content_hash text,
  -- Of a done job: what came of it.
  outcome text check (outcome in ('written', 'unchanged', 'duplicate')),
  duplicate_of text,
  idempotency_key text,
  -- What the key was first used for.
  fingerprint text,
  attempts integer not null default 0,
  -- Attempts in a row in which only the embedder was missing.
  waits integer not null default 0,
  -- Not before this; of a paused job, when it goes on by itself (null: when somebody resumes it).
  run_at timestamptz default now(),
  lease_owner text,
  lease_until timestamptz,
  heartbeat_at timestamptz,
  error_code text,
  error_message text,
  -- Meta of the prepared document and the model's digest; the large parts are in rag_job_parts.
  prepared jsonb,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  primary key (tenant, id),
  foreign key (tenant, collection) references rag_collections (tenant, id) on delete cascade,
  check ((state = 'running') = (lease_owner is not null))
);
create unique index rag_jobs_running on rag_jobs (tenant, collection, document) where state = 'running';
create unique index rag_jobs_key on rag_jobs (tenant, collection, idempotency_key) where idempotency_key is not null;
create index rag_jobs_due on rag_jobs (tenant, collection, priority, created_at, id) where state = 'queued' or state = 'paused';
create index rag_jobs_leases on rag_jobs (lease_until) where state = 'running';
create index rag_jobs_document on rag_jobs (tenant, collection, document, created_at);
create index rag_jobs_finished on rag_jobs (finished_at) where finished_at is not null;
${tenantTable('rag_jobs')}

create table rag_job_parts (
  tenant text not null,
  job text not null,
  kind text not null check (kind in ('text', 'chunks')),
  part integer not null,
  data text not null,
  primary key (tenant, job, kind, part),
  foreign key (tenant, job) references rag_jobs (tenant, id) on delete cascade
);
${tenantTable('rag_job_parts')}

create table rag_job_vectors (
  tenant text not null,
  job text not null,
  hash text not null,
  -- 32-bit floats, little-endian.
  vector bytea not null,
  primary key (tenant, job, hash),
  foreign key (tenant, job) references rag_jobs (tenant, id) on delete cascade
);
${tenantTable('rag_job_vectors')}

-- When a collection was last given a worker: collections take turns.
create table rag_job_turns (
  tenant text not null,
  collection text not null,
  served_at timestamptz not null,
  primary key (tenant, collection),
  foreign key (tenant, collection) references rag_collections (tenant, id) on delete cascade
);
${tenantTable('rag_job_turns')}`,
  },
  {
    number: 1101,
    name: 'when a source was given last',
    sql: `
-- The same bytes given again make no new source.
alter table rag_sources add column given_at timestamptz not null default now();
update rag_sources set given_at = created_at;
drop index rag_sources_unfinished;`,
  },
]
