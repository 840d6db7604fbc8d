/** Which chunks of a visible document have vectors of an embedder: who writes it anew makes those alone that are missing. */
import { z } from 'zod'

import type { Transaction } from '../../store/database.ts'

interface DocumentPlace {
  readonly tenant: string
  /** The collection's id. */
  readonly collection: string
  readonly document: string
}

const setRow = z.object({ name: z.string().regex(/^[a-z0-9_]{1,63}$/), digest: z.string() })
const chunkRow = z.object({ hash: z.string() })

/** The live set of the embedder's `digest`; null as digest: the newest set. */
async function liveSet(
  transaction: Transaction,
  { tenant, collection }: DocumentPlace,
  digest: string | null,
): Promise<z.infer<typeof setRow> | null> {
  const { rows } = await transaction.query(
    `select name, digest from rag_vector_sets where tenant = $1 and collection = $2 and state = 'live' and ($3::text is null or digest = $3)
     order by changed_at desc limit 1`,
    [tenant, collection, digest],
  )
  return rows[0] === undefined ? null : setRow.parse(rows[0])
}

const vectorOf = (set: string): string => `from ${set} v where v.tenant = $1 and v.collection = $2 and v.number = c.number`

/** Hashes of the chunks that have a vector in that set, and its digest; null where there is no such set. */
export async function heldVectors(
  transaction: Transaction,
  place: DocumentPlace,
  digest: string | null,
): Promise<{ readonly digest: string | null; readonly hashes: ReadonlySet<string> }> {
  const set = await liveSet(transaction, place, digest)
  if (set === null) return { digest: null, hashes: new Set() }
  const { rows } = await transaction.query(
    `select c.hash from rag_chunks c where c.tenant = $1 and c.collection = $2 and c.document = $3 and exists (select ${vectorOf(set.name)})`,
    [place.tenant, place.collection, place.document],
  )
  return { digest: set.digest, hashes: new Set(rows.map((row) => chunkRow.parse(row).hash)) }
}

/** Whether a chunk has no vector in that set; false where the store can keep no vectors. Reads no further than the first one. */
export async function lacksVectors(transaction: Transaction, place: DocumentPlace, digest: string | null): Promise<boolean> {
  const set = await liveSet(transaction, place, digest)
  const { rows } = await transaction.query(
    `select 1 from rag_chunks c where c.tenant = $1 and c.collection = $2 and c.document = $3 and to_regtype('vector') is not null
       ${set === null ? '' : `and not exists (select ${vectorOf(set.name)})`} limit 1`,
    [place.tenant, place.collection, place.document],
  )
  return rows.length > 0
}
