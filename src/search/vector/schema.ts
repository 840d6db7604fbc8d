/**
 * The schema of the vector leg. Vectors lie in tables of their own, one per (embedder, dimensions, storage), made when the first vector of
 * a kind is written; a large collection has a table to itself, so that its index holds no vector of another tenant. The functions here make
 * and drop those tables as the owner of the schema, since the user of a document's transaction may not; they accept only names of ours.
 *
 * pgvector is not a trusted extension: on a server where the owner may not install it, an admin runs `create extension vector` once in the
 * database. Until then the migration passes, no vector is kept, and search answers by words, marked as degraded.
 */
import { sqlLiteral, tenantRole, tenantTable } from '../../store/tenancy.ts'

/** Tables of vectors in one database. */
const tablesMax = 2_000
/** A longer row would not fit a page, and is kept out of line. */
const inlineBytesMax = 8_000
const namePattern = '^rag_vectors_[0-9a-f]{16}_[0-9]{1,5}(_h)?(_[0-9a-f]{8})?$'
const standIn = 'table_of_vectors'

export const vectorSql = `
do $$ begin
  create extension if not exists vector;
exception when insufficient_privilege or feature_not_supported or undefined_file then
  raise notice 'pgvector is missing: an admin runs "create extension vector" in this database';
end $$;

-- Every table of vectors; names no tenant.
create table rag_vector_tables (
  name text primary key,
  dimensions integer not null,
  storage text not null check (storage in ('full', 'half')),
  created_at timestamptz not null default now()
);

-- Which tables hold vectors of a collection.
create table rag_vector_sets (
  tenant text not null,
  collection text not null,
  name text not null references rag_vector_tables (name),
  -- The embedder's.
  digest text not null,
  dimensions integer not null,
  storage text not null,
  vectors bigint not null default 0,
  -- Settings of the index in a table that is the collection's own; null: none, every vector is compared.
  index jsonb,
  -- retired: replaced; kept until searches that began before have ended.
  state text not null default 'live' check (state in ('live', 'retired')),
  changed_at timestamptz not null default now(),
  primary key (tenant, collection, name),
  foreign key (tenant, collection) references rag_collections (tenant, id) on delete cascade
);
create unique index rag_vector_sets_live on rag_vector_sets (tenant, collection, digest, dimensions) where state = 'live';
create index rag_vector_sets_name on rag_vector_sets (name);
${tenantTable('rag_vector_sets')}

-- A row there is a table.
create function rag_vector_table_made() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  kind text := case new.storage when 'half' then 'halfvec' else 'vector' end;
  bytes integer := new.dimensions * case new.storage when 'half' then 2 else 4 end;
begin
  if new.name !~ '${namePattern}' then raise exception 'not a table of vectors: %', new.name; end if;
  if (select count(*) from rag_vector_tables) > ${tablesMax} then raise exception 'there are ${tablesMax} tables of vectors'; end if;
  execute format('create table %I (tenant text not null, collection text not null, number integer not null,
    embedding %s(%s) not null, primary key (tenant, collection, number))', new.name, kind, new.dimensions);
  if bytes <= ${inlineBytesMax} then execute format('alter table %I alter column embedding set storage plain', new.name); end if;
  execute replace(${sqlLiteral(tenantTable(standIn))}, '${standIn}', new.name);
  execute format('grant select, insert, update, delete on %I to %I', new.name, session_user);
  if exists (select from pg_roles where rolname = '${tenantRole}') then
    execute format('grant select, insert, update, delete on %I to ${tenantRole}', new.name);
  end if;
  return null;
end $$;
create trigger rag_vector_tables_made after insert on rag_vector_tables for each row execute function rag_vector_table_made();

create function rag_vector_table(wanted text, dimensions integer, storage text) returns boolean
language plpgsql security definer set search_path from current as $$
begin
  if to_regtype(case storage when 'half' then 'halfvec' else 'vector' end) is null then return false; end if;
  insert into rag_vector_tables (name, dimensions, storage) values (wanted, dimensions, storage) on conflict do nothing;
  return true;
end $$;

-- Makes a table that a copy of another database brings rows for: all that is to be known stands in its name.
create function corral_make_table(wanted text) returns boolean
language sql security definer set search_path from current as $$
  select rag_vector_table(wanted, split_part(wanted, '_', 4)::integer, case split_part(wanted, '_', 5) when 'h' then 'half' else 'full' end)
    where wanted ~ '${namePattern}'
$$;

-- Such a table comes without the index it had: its vectors are compared one by one until upkeep has built another.
create function corral_settle_table(wanted text) returns void
language sql security definer set search_path from current as $$
  update rag_vector_sets set index = null where name = wanted
$$;

create function rag_vector_index(wanted text, method text, first integer, second integer) returns void
language plpgsql security definer set search_path from current as $$
declare
  ops text := (select case t.storage when 'half' then 'halfvec_ip_ops' else 'vector_ip_ops' end from rag_vector_tables t where t.name = wanted);
  options text := case method when 'hnsw' then format('m = %s, ef_construction = %s', first, second) else format('lists = %s', first) end;
begin
  if ops is null or method not in ('hnsw', 'ivfflat') then raise exception 'not an index of vectors: % on %', method, wanted; end if;
  execute format('drop index if exists %I', wanted || '_ann');
  execute format('create index %I on %I using %s (embedding %s) with (%s)', wanted || '_ann', wanted, method, ops, options);
  execute format('analyze %I', wanted);
end $$;

-- What the planner knows of a table and of what is written with it: a new one is taken for empty until somebody looks.
create function rag_vector_analyze(wanted text) returns void
language plpgsql security definer set search_path from current as $$
begin
  if wanted !~ '${namePattern}' then raise exception 'not a table of vectors: %', wanted; end if;
  execute format('analyze %I', wanted);
  analyze rag_documents, rag_chunks, rag_segments, rag_postings;
end $$;

create function rag_vector_drop(wanted text) returns void
language plpgsql security definer set search_path from current as $$
begin
  if not exists (select from rag_vector_tables t where t.name = wanted) then return; end if;
  execute format('drop table %I', wanted);
  delete from rag_vector_tables t where t.name = wanted;
end $$;`
