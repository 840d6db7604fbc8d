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

/** Deletes sources that no job and no document needs: uploads that broke off, and revisions that were replaced. Gives how many. */
export async function sweepSources(database: Database, olderThan: Date): Promise<number> {
  const text = `delete from rag_sources s where (tenant, id) in (
    select tenant, id from rag_sources where sha256 is null and created_at < $1::timestamptz order by created_at limit 1000)
    and not exists (select 1 from rag_jobs j where j.tenant = s.tenant and j.source = s.id)`
  const { rowCount } = await database.tx('system', (transaction) => transaction.query(text, [olderThan.toISOString()]), {
    name: 'sweep_sources',
  })
  return rowCount
}
