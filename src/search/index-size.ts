/** How much can be found: from the totals that collections keep, and the sizes that Postgres knows. Counts no row. */
import type { Database } from '../store/database.ts'

export interface IndexSize {
  readonly documents: number
  readonly chunks: number
  /** Of documents, chunks, postings and vectors, with their indexes. */
  readonly bytes: number
}

const text = `select coalesce(sum(documents), 0)::float8 as documents, coalesce(sum(chunks), 0)::float8 as chunks,
  (select coalesce(sum(pg_total_relation_size(oid)), 0)::float8 from pg_class
   where relkind = 'r' and relname ~ '^rag_(documents|chunks|segments|postings|vector)' and pg_table_is_visible(oid)) as bytes
  from rag_collections`

/** Of all tenants together. */
export async function readIndexSize(database: Database): Promise<IndexSize> {
  const { rows } = await database.tx('system', ({ last }) => last(text), { name: 'read_index_size', readOnly: true })
  const [row = {}] = rows
  return { documents: Number(row['documents']), chunks: Number(row['chunks']), bytes: Number(row['bytes']) }
}
