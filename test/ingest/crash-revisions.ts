/** What the crash test writes, and how it sees whether the store is whole: every document is one revision with all its chunks and vectors. */
import { z } from 'zod'

import type { Ingest } from '../../src/ingest/ingest.ts'
import type { Database } from '../../src/store/database.ts'
import { keptVectors, sections } from './pipeline-play.ts'

export const crashDocuments = 12
const sectionsPerRevision = 13

/** Revisions go round the documents. */
export function documentOf(revision: number): string {
  return `d${revision % crashDocuments}`
}

/** Half of it is in every revision, so that chunks are kept as well as made. */
export function revisionText(revision: number): string {
  return `Revision ${revision} of it.\n\n${sections(6, ` in ${documentOf(revision)}`)}\n\n${sections(sectionsPerRevision - 7, ` in revision ${revision}`)}`
}

/** The revision that `text` is; null when it is none. */
export function revisionOf(text: string): number | null {
  const revision = Number(/^Revision (\d+) of it\./.exec(text)?.[1] ?? Number.NaN)
  return Number.isInteger(revision) && revisionText(revision) === text ? revision : null
}

interface Seen {
  readonly revision: number | null
  readonly chunks: readonly string[]
}

/** Each visible document with its chunks. */
export async function visible(database: Database): Promise<Map<string, Seen>> {
  const { rows } = await database.tx('system', (transaction) =>
    transaction.query(
      `select d.id, d.text, d.chunks, coalesce((select jsonb_agg(c.text order by c.ordinal) from rag_chunks c
         where c.tenant = d.tenant and c.collection = d.collection and c.document = d.id), '[]') as texts from rag_documents d`,
    ),
  )
  return new Map(
    rows.map((row) => {
      const texts: unknown = row['texts']
      return [String(row['id']), { revision: revisionOf(String(row['text'])), chunks: Array.isArray(texts) ? texts.map(String) : [] }]
    }),
  )
}

/** What is not whole, in words; empty when all is well. */
export async function brokenDocuments(database: Database): Promise<string[]> {
  const broken: string[] = []
  const vectors = await keptVectors(database)
  let chunkCount = 0
  for (const [id, { revision, chunks }] of await visible(database)) {
    chunkCount += chunks.length
    if (revision === null || documentOf(revision) !== id) broken.push(`${id} is no revision of it`)
    if (chunks.length !== sectionsPerRevision) broken.push(`${id} has ${chunks.length} chunks`)
    if (new Set(chunks).size !== chunks.length) broken.push(`${id} has a chunk twice`)
    for (const chunk of chunks) if (!vectors.has(`${id}: ${chunk}`)) broken.push(`${id} has a chunk without its vector`)
  }
  if (vectors.size !== chunkCount) broken.push(`${vectors.size} vectors of ${chunkCount} chunks`)
  const { rows } = await database.tx('system', ({ query }) =>
    query('select (select count(*) from rag_chunks)::int as chunks, (select chunks from rag_collections limit 1) as counted'),
  )
  if (Number(rows[0]?.['chunks']) !== chunkCount) broken.push(`${String(rows[0]?.['chunks'])} chunks, ${chunkCount} of them of a document`)
  if (Number(rows[0]?.['counted'] ?? 0) !== chunkCount)
    broken.push(`the collection counts ${String(rows[0]?.['counted'])} chunks of ${chunkCount}`)
  return broken
}

const leftoverSql = `select (select count(*) from rag_job_parts)::int as parts, (select count(*) from rag_job_vectors)::int as vectors,
  (select count(*) from rag_sources s where not exists (select from rag_documents d
    where d.tenant = s.tenant and d.collection = s.collection and d.id = s.document and d.content_hash = s.sha256))::int as orphans,
  (select count(*) from (select 1 from rag_sources group by tenant, collection, document, sha256 having count(*) > 1) s)::int as doubled`

const leftoverRow = z.object({ parts: z.number(), vectors: z.number(), orphans: z.number(), doubled: z.number() })

/** Rows that a finished ingest leaves behind of its way, and bytes of no visible document or kept twice of one; all zero when it is clean. */
export async function leftovers(database: Database): Promise<z.infer<typeof leftoverRow>> {
  const { rows } = await database.tx('system', ({ query }) => query(leftoverSql))
  return leftoverRow.parse(rows[0])
}

/** Removes what killed processes left of bytes, as time does after an hour. */
export async function sweepLater(database: Database, ingest: Ingest): Promise<void> {
  await database.tx('system', ({ query }) => query(`update rag_sources set created_at = created_at - interval '2 hours'`))
  await ingest.sweep()
}
