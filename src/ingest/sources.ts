/**
 * The bytes that documents were made of, in rows of at most 1 MiB, so that neither an upload nor a read holds more than one row. They stay
 * while their document does: to be shown, and to be ingested again with other settings.
 */
import { createHash, randomUUID } from 'node:crypto'
import { z } from 'zod'

import { CorralError } from '../core/errors.ts'
import { ConstraintError, type Database, type Transaction } from '../store/database.ts'
import type { DocumentPlace } from './job-deps.ts'

export const sourcePartBytes = 1_048_576

export interface NewSource extends DocumentPlace {
  readonly name: string
  readonly declaredType: string | null
  readonly uri: string | null
}

export interface Source extends NewSource {
  readonly id: string
  readonly sha256: string
  readonly sizeBytes: number
}

const sourceRow = z.object({
  tenant: z.string(),
  id: z.string(),
  collection: z.string(),
  document: z.string(),
  name: z.string(),
  declared_type: z.string().nullable(),
  uri: z.string().nullable(),
  sha256: z.string(),
  size_bytes: z.coerce.number(),
})
const sourceColumns = Object.keys(sourceRow.shape).join(', ')
const partRow = z.object({ data: z.instanceof(Uint8Array) })

function sourceOf(row: unknown): Source {
  const { declared_type: declaredType, size_bytes: sizeBytes, ...rest } = sourceRow.parse(row)
  return { ...rest, declaredType, sizeBytes }
}

/**
 * Stores `bytes` as they come and gives the finished source. Throws `body_too_large` over `bytesMax`; then, and when `bytes` fails,
 * nothing is kept. Throws `conflict` when the collection is gone.
 */
export async function storeSource(
  database: Database,
  source: NewSource,
  { bytes, bytesMax }: { bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>; bytesMax: number },
): Promise<Source> {
  const id = randomUUID()
  const { tenant } = source
  try {
    await database.tx({ tenant }, (transaction) => insertSource(transaction, id, source), { name: 'store_source' })
    const hash = createHash('sha256')
    let sizeBytes = 0
    let part = 0
    for await (const data of parts(bytes)) {
      sizeBytes += data.length
      if (sizeBytes > bytesMax)
        throw new CorralError('body_too_large', `${source.name} is over the limit of ${bytesMax} bytes per document`)
      hash.update(data)
      await insertPart(database, { tenant, id, part, data })
      part += 1
    }
    const sha256 = hash.digest('hex')
    const text = 'update rag_sources set sha256 = $3, size_bytes = $4 where tenant = $1 and id = $2'
    await database.tx({ tenant }, (transaction) => transaction.query(text, [tenant, id, sha256, sizeBytes]), { name: 'store_source' })
    return { ...source, id, sha256, sizeBytes }
  } catch (thrown) {
    const isRemoved = thrown instanceof ConstraintError && thrown.kind === 'foreign_key'
    const error = isRemoved ? new CorralError('conflict', 'the collection was removed or emptied meanwhile', { cause: thrown }) : thrown
    await database
      .tx({ tenant }, (transaction) => deleteSource(transaction, { tenant, id }))
      .catch(() => {
        // The sweep of unfinished sources takes it; the caller hears why the upload failed.
      })
    throw error
  }
}

async function insertSource(
  transaction: Transaction,
  id: string,
  { tenant, collection, document, name, declaredType, uri }: NewSource,
): Promise<void> {
  const text = `insert into rag_sources (tenant, id, collection, document, name, declared_type, uri) values ($1, $2, $3, $4, $5, $6, $7)`
  await transaction.query(text, [tenant, id, collection, document, name, declaredType, uri])
}

function insertPart(
  database: Database,
  { tenant, id, part, data }: { tenant: string; id: string; part: number; data: Uint8Array },
): Promise<unknown> {
  const text = `insert into rag_source_parts (tenant, source, part, data) values ($1, $2, $3, $4)
    on conflict (tenant, source, part) do update set data = excluded.data`
  return database.tx({ tenant }, (transaction) => transaction.query(text, [tenant, id, part, data]), { name: 'write_source_part' })
}

export async function deleteSource(transaction: Transaction, { tenant, id }: { tenant: string; id: string }): Promise<void> {
  await transaction.query('delete from rag_sources where tenant = $1 and id = $2', [tenant, id])
}

/** Bytes regrouped to parts. */
async function* parts(bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Buffer> {
  let held: Uint8Array[] = []
  let heldBytes = 0
  for await (const chunk of bytes) {
    held.push(chunk)
    heldBytes += chunk.length
    if (heldBytes < sourcePartBytes) continue
    let all = Buffer.concat(held)
    for (; all.length >= sourcePartBytes; all = all.subarray(sourcePartBytes)) yield all.subarray(0, sourcePartBytes)
    held = [all]
    heldBytes = all.length
  }
  if (heldBytes > 0) yield Buffer.concat(held)
}

/** A finished source; null when there is none of this id. */
export async function readSource(transaction: Transaction, { tenant, id }: { tenant: string; id: string }): Promise<Source | null> {
  const text = `select ${sourceColumns} from rag_sources where tenant = $1 and id = $2 and sha256 is not null`
  const { rows } = await transaction.query(text, [tenant, id])
  return rows[0] === undefined ? null : sourceOf(rows[0])
}

/** The source of which the visible document was made; null when there is no document, or its bytes are not kept. */
export async function sourceOfDocument(transaction: Transaction, { tenant, collection, document }: DocumentPlace): Promise<Source | null> {
  const text = `select ${sourceColumns} from rag_sources where tenant = $1 and collection = $2 and document = $3
      and sha256 = (select content_hash from rag_documents where tenant = $1 and collection = $2 and id = $3)
    order by created_at desc, id limit 1`
  const { rows } = await transaction.query(text, [tenant, collection, document])
  return rows[0] === undefined ? null : sourceOf(rows[0])
}

/** The bytes of a source, one row at a time. */
export async function* sourceBytes(database: Database, { tenant, id }: { tenant: string; id: string }): AsyncGenerator<Uint8Array> {
  for (let part = 0; ; part += 1) {
    const text = 'select data from rag_source_parts where tenant = $1 and source = $2 and part = $3'
    const { rows } = await database.tx({ tenant }, (transaction) => transaction.query(text, [tenant, id, part]), {
      name: 'read_source_part',
      readOnly: true,
    })
    if (rows[0] === undefined) return
    yield partRow.parse(rows[0]).data
  }
}

/** Of the bytes that the visible documents were made of: others of the same documents are of jobs that failed or are not done. */
const noteSql = `update rag_sources s set given_at = now() from rag_documents d join rag_collections c on c.tenant = d.tenant and c.id = d.collection
  where d.tenant = $1 and d.collection = $2 and d.id = any($3::text[])
    and s.tenant = d.tenant and s.collection = d.collection and s.document = d.id and s.sha256 = d.content_hash`

/** Notes that a document was given again as it is, which is what retention goes by. */
export async function noteGiven(transaction: Transaction, { tenant, collection, document }: DocumentPlace): Promise<void> {
  await transaction.query(noteSql, [tenant, collection, [document]])
}

/**
 * The same for what is looked at again and again, only where the last note is old: none is a write for nothing. Where nothing is removed
 * by time it may be older, but well under the shortest retention, a day: when one is set it holds at once, before the next look.
 */
const noteOldSql = `${noteSql} and s.given_at < now() - case when jsonb_typeof(c.settings -> 'retentionDays') = 'number'
  then interval '30 minutes' else interval '12 hours' end`

/** Notes that these documents are given still, which is what retention goes by. */
export async function noteStillGiven(
  transaction: Transaction,
  { tenant, collection, documents }: Omit<DocumentPlace, 'document'> & { readonly documents: readonly string[] },
): Promise<void> {
  await transaction.query(noteOldSql, [tenant, collection, documents])
}

/** Of the last source that was looked at. */
export interface SourceMark {
  readonly tenant: string
  readonly id: string
}

/** Sources looked at in one sweep. */
const sweptMax = 1_000

/**
 * A source is needed by a job that is not done, and by the visible document that was made of it. The rest is left by uploads that broke off,
 * by processes that died before they had made a job, and by jobs that failed and are listed no more.
 */
const sweepSql = `with looked as (
    select tenant, id, collection, document, sha256, created_at from rag_sources where (tenant, id) > ($2, $3) order by tenant, id limit ${sweptMax}),
  removed as (
    delete from rag_sources s using looked l where s.tenant = l.tenant and s.id = l.id and l.created_at < $1::timestamptz
      and not exists (select 1 from rag_jobs j where j.tenant = l.tenant and j.collection = l.collection and j.document = l.document
        and j.source = l.id and j.state in ('queued', 'running', 'paused', 'failed'))
      and not exists (select 1 from rag_documents d where d.tenant = l.tenant and d.collection = l.collection and d.id = l.document
        and d.content_hash = l.sha256 and not exists (
          select 1 from rag_sources o where o.tenant = l.tenant and o.collection = l.collection and o.document = l.document
            and o.sha256 = l.sha256 and (o.created_at, o.id) > (l.created_at, l.id))))
  select tenant, id from looked order by tenant, id offset ${sweptMax - 1}`

/**
 * Looks at the next sources after a mark and deletes those older than a time (ISO 8601) that nothing needs; gives the mark for the next
 * sweep, null after the last of them.
 */
export async function sweepSources(
  database: Database,
  { olderThan, after }: { readonly olderThan: string; readonly after: SourceMark | null },
): Promise<SourceMark | null> {
  const { rows } = await database.tx(
    'system',
    (transaction) => transaction.query(sweepSql, [olderThan, after?.tenant ?? '', after?.id ?? '']),
    { name: 'sweep_sources' },
  )
  return rows[0] === undefined ? null : { tenant: String(rows[0]['tenant']), id: String(rows[0]['id']) }
}
