/**
 * Tables of what can be found, numbers 1000–1099: collections, their visible documents, chunks, and the postings of the keyword leg.
 * A document stands here only when all of it does (`write-document.ts` writes it in one transaction and raises the collection's
 * version there). What is still being made of an upload is `ingest`'s. Tables of vectors are made per embedder (`vector-table.ts`).
 */
import type { Migration } from '../store/migration.ts'
import { tenantTable } from '../store/tenancy.ts'

export const searchMigrations: readonly Migration[] = [
  {
    number: 1000,
    name: 'collections, documents, chunks',
    sql: `
create table rag_collections (
  tenant text not null,
  id text not null,
  name text not null,
  settings jsonb not null,
  version bigint not null default 1,
  -- Numbers given to chunks so far: a chunk's number is never used again, so postings may name it.
  next_number integer not null default 0,
  -- Totals over live chunks, for BM25.
  chunks integer not null default 0,
  keyword_length bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant, id)
);
create unique index rag_collections_name on rag_collections (tenant, name);
${tenantTable('rag_collections')}

create table rag_documents (
  tenant text not null,
  collection text not null,
  id text not null,
  title text not null,
  uri text,
  metadata jsonb not null default '{}',
  content_type text not null,
  -- SHA-256 of the source's bytes, hex.
  content_hash text not null,
  size_bytes bigint not null,
  text text not null,
  language text not null,
  pages integer,
  warnings jsonb not null default '[]',
  revision integer not null default 1,
  chunks integer not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant, collection, id),
  foreign key (tenant, collection) references rag_collections (tenant, id) on delete cascade
);
create index rag_documents_metadata on rag_documents using gin (metadata jsonb_path_ops);
create index rag_documents_hash on rag_documents (tenant, collection, content_hash);
create index rag_documents_updated on rag_documents (tenant, collection, updated_at);
${tenantTable('rag_documents')}

create table rag_chunks (
  tenant text not null,
  collection text not null,
  number integer not null,
  document text not null,
  ordinal integer not null,
  start_at integer not null,
  end_at integer not null,
  page integer,
  headings text[] not null,
  kind text not null,
  text text not null,
  hash text not null,
  -- Terms in it, for BM25.
  keyword_length integer not null,
  primary key (tenant, collection, number),
  foreign key (tenant, collection, document) references rag_documents (tenant, collection, id) on delete cascade
);
create unique index rag_chunks_document on rag_chunks (tenant, collection, document, ordinal);
create index rag_chunks_hash on rag_chunks (tenant, collection, hash);
${tenantTable('rag_chunks')}`,
  },
]
