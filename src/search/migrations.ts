/**
 * Tables of what can be found, numbers 1000–1099: collections, their visible documents, chunks, and the postings of the keyword leg.
 * A document stands here only when all of it does (`write-document.ts` writes it in one transaction and raises the collection's
 * version there). What is still being made of an upload is `ingest`'s. Tables of vectors are made per embedder (`vector-table.ts`).
 */
import type { Migration } from '../store/migration.ts'
import { tenantTable } from '../store/tenancy.ts'
import { vectorSql } from './vector/schema.ts'

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
  documents integer not null default 0,
  -- Documents by language: a query is stemmed in each of them.
  languages jsonb not null default '{}',
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
  -- What the embedder reads before the text (title, headings): indexed with it, and needed to take it out of the index again.
  lead text not null,
  -- Terms in it, for BM25.
  keyword_length integer not null,
  primary key (tenant, collection, number),
  foreign key (tenant, collection, document) references rag_documents (tenant, collection, id) on delete cascade
);
create unique index rag_chunks_document on rag_chunks (tenant, collection, document, ordinal);
create index rag_chunks_hash on rag_chunks (tenant, collection, hash);
${tenantTable('rag_chunks')}`,
  },
  {
    number: 1001,
    name: 'keyword index',
    sql: `
create table rag_segments (
  tenant text not null,
  collection text not null,
  -- Drawn, not counted: an id that a rollback or a restored backup would give twice could be remembered with other contents.
  id bigint not null default floor(random() * 9007199254740991)::bigint,
  -- building: not searched yet, filled from inputs; spent: not searched any more, its postings are being removed.
  state text not null check (state in ('live', 'building', 'spent')),
  -- Numbers of its chunks; those of two live segments do not overlap.
  first_number integer not null,
  last_number integer not null,
  chunks integer not null,
  postings integer not null,
  -- Number and length of each chunk, in order.
  map bytea not null,
  -- All postings of a small segment; null: in rag_postings.
  packed bytea,
  -- Removed chunks that are still in it; the stamp changes with every change of them.
  dead integer not null default 0,
  dead_stamp bigint not null default 0,
  dead_numbers bytea,
  -- Of a building one: what it is made of, and the last term that is done.
  inputs bigint[],
  done_term text collate "C",
  primary key (tenant, collection, id),
  foreign key (tenant, collection) references rag_collections (tenant, id) on delete cascade
);
alter table rag_segments alter column map set storage external;
alter table rag_segments alter column packed set storage external;
create unique index rag_segments_building on rag_segments (tenant, collection) where state = 'building';
create index rag_segments_upkeep on rag_segments (state) where state <> 'live';
${tenantTable('rag_segments')}

-- No foreign key: it would cost a look-up per row; write-document.ts, collections.ts and keyword/compact.ts remove them.
create table rag_postings (
  tenant text not null,
  collection text not null,
  segment bigint not null,
  term text collate "C" not null,
  data bytea not null,
  primary key (tenant, collection, segment, term)
);
alter table rag_postings alter column data set storage external;
${tenantTable('rag_postings')}`,
  },
  { number: 1050, name: 'vectors', sql: vectorSql },
  {
    number: 1060,
    name: 'fields of metadata',
    sql: `
-- One row per field of a document's metadata that is not null, so that an index finds documents by it: operators of jsonb are not
-- leakproof, and row-level security lets an index be used by those alone that are. A list has a row without a value. Triggers alone write
-- here: replicas of before this migration, which know nothing of it, write documents while the others are being replaced. No foreign key:
-- it would cost a look-up per row.
create table rag_document_fields (
  tenant text not null,
  collection text not null,
  document text not null,
  field text not null,
  -- Of a text its first 250 characters, of a boolean true or false.
  text_value text collate "C",
  number_value double precision,
  -- Of a text that is a date, as filters read it.
  time_value timestamptz
);
${tenantTable('rag_document_fields')}

create function rag_metadata_fields(metadata jsonb)
returns table (field text, text_value text, number_value double precision, time_value timestamptz)
language sql stable as $$
  select
    e.key,
    case jsonb_typeof(e.value) when 'string' then left(v.value, 250) when 'boolean' then v.value end,
    case when jsonb_typeof(e.value) = 'number' then v.value::double precision end,
    case when jsonb_typeof(e.value) = 'string' and v.value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' and pg_catalog.pg_input_is_valid(v.zoned, 'timestamptz')
      then v.zoned::timestamptz end
  from jsonb_each(metadata) as e
  cross join lateral (select e.value #>> '{}' as value) as plain
  cross join lateral (
    select plain.value, case when plain.value ~ '([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$' and plain.value ~ '[Tt ]' then plain.value else plain.value || ' UTC' end as zoned
  ) as v
  where jsonb_typeof(e.value) <> 'null'
$$;

-- As the owner of the tables: a replica of before has no right to this one where its user is another.
create function rag_document_fields_follow() returns trigger
language plpgsql security definer set search_path from current as $$
begin
  if tg_op <> 'INSERT' then
    delete from rag_document_fields where tenant = old.tenant and collection = old.collection and document = old.id;
  end if;
  if tg_op <> 'DELETE' then
    insert into rag_document_fields (tenant, collection, document, field, text_value, number_value, time_value)
      select new.tenant, new.collection, new.id, f.* from rag_metadata_fields(new.metadata) as f;
  end if;
  return null;
end $$;

-- Until this transaction ends no document changes: each is either read below or written after the triggers are there.
lock table rag_documents in share row exclusive mode;
create trigger rag_documents_fields after insert or delete on rag_documents for each row execute function rag_document_fields_follow();
create trigger rag_documents_fields_changed after update of metadata on rag_documents for each row
  when (old.metadata is distinct from new.metadata) execute function rag_document_fields_follow();
insert into rag_document_fields (tenant, collection, document, field, text_value, number_value, time_value)
  select d.tenant, d.collection, d.id, f.* from rag_documents d cross join lateral rag_metadata_fields(d.metadata) as f;

-- The document first: an index by tenant and collection would be taken for looking up a field where tables were never analysed.
create index rag_document_fields_document on rag_document_fields (document, collection, tenant);
create index rag_document_fields_text on rag_document_fields (tenant, collection, field, text_value);
create index rag_document_fields_number on rag_document_fields (tenant, collection, field, number_value) where number_value is not null;
create index rag_document_fields_time on rag_document_fields (tenant, collection, field, time_value) where time_value is not null;`,
  },
  {
    number: 1061,
    name: 'tokeniser of documents',
    sql: `
-- By which version of the tokeniser (tokenise.ts) the terms of a document's chunks were cut.
alter table rag_documents add column tokeniser integer not null default 1`,
  },
]
