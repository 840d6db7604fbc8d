/**
 * Documents removed with their bytes and their jobs: one, all of a collection, or those whose time is over. Nothing else in ingest removes
 * any, and each way ends with the answers that were made from them being forgotten, so that no caller can leave that out.
 */
import type { Database, Transaction } from '../store/database.ts'
import type { DocumentPlace, IngestDeps } from './job-deps.ts'
import { wholeDocument } from './job-options.ts'

export type RemovalDeps = Pick<IngestDeps, 'database' | 'deleteDocument' | 'forgetAnswers'>

/** Throws when the change is not to be made. */
export type DocumentCheck = (transaction: Transaction) => Promise<void>

export interface Removed {
  /** A document, or what is left of one that never became visible. */
  readonly wasThere: boolean
  readonly jobs: readonly string[]
}

/**
 * Removes a document, all in one transaction; a job that runs is gone with it. `check` sees it first, in the same transaction; what it throws
 * leaves everything as it was.
 */
export async function removeDocument(deps: RemovalDeps, place: DocumentPlace, check?: DocumentCheck): Promise<Removed> {
  const { wasVisible, ...removed } = await removeQuietly(deps, place, check)
  if (wasVisible) await deps.forgetAnswers(place.tenant)
  return removed
}

/**
 * Removes all of a collection, and what `work` removes of it, in one transaction. Gives the ids of the jobs, and what `work` gave.
 */
export async function removeDocuments<T>(
  { database, forgetAnswers }: RemovalDeps,
  { tenant, collection }: Omit<DocumentPlace, 'document'>,
  work: (transaction: Transaction) => Promise<T>,
): Promise<{ readonly result: T; readonly jobs: readonly string[] }> {
  const removed = await database.tx(
    { tenant },
    async (transaction) => {
      const values = [tenant, collection]
      // Jobs first: their workers hold these rows before they hold the collection's.
      const jobs = await transaction.query('delete from rag_jobs where tenant = $1 and collection = $2 returning id', values)
      const result = await work(transaction)
      await transaction.query('delete from rag_sources where tenant = $1 and collection = $2', values)
      return { result, jobs: jobs.rows.map(({ id }) => String(id)) }
    },
    { name: 'remove_documents', ...wholeDocument },
  )
  await forgetAnswers(tenant)
  return removed
}

/** Documents looked at in one go. */
const expiredMax = 500

/**
 * Gives anew with the time that its job was accepted: what is yet to be fetched from its URL has no source. How long the job has waited since,
 * for an embedder or whoever paused it, does not count. A job that makes a document again from its old bytes gives nothing.
 */
const onItsWay = `kind <> 'reingest' and state in ('queued', 'running', 'paused')`

/** Neither written nor given again for as long as their collection keeps them. */
const expiredSql = `select d.tenant, d.collection, d.id from rag_documents d
  join rag_collections c on c.tenant = d.tenant and c.id = d.collection
  cross join lateral (select now() - make_interval(secs => (c.settings ->> 'retentionDays')::float8 * 86400) as at) cut
  where jsonb_typeof(c.settings -> 'retentionDays') = 'number' and d.updated_at < cut.at and not exists (
    select 1 from rag_sources s where s.tenant = d.tenant and s.collection = d.collection and s.document = d.id and s.given_at >= cut.at)
  and not exists (select 1 from rag_jobs j where j.tenant = d.tenant and j.collection = d.collection and j.document = d.id
    and ${onItsWay} and j.created_at >= cut.at)`

class GivenAgain extends Error {}

/** Removes documents whose time is over, oldest first, each in a transaction of its own; gives how many. Rejects with what the store says. */
export async function removeExpired(deps: RemovalDeps): Promise<number> {
  const tenants: string[] = []
  try {
    for (const place of await findExpired(deps.database)) if (await removeWhenExpired(deps, place)) tenants.push(place.tenant)
  } finally {
    for (const tenant of new Set(tenants)) await deps.forgetAnswers(tenant)
  }
  return tenants.length
}

/** False when it was given again, or removed, since it was found to be over its time. */
async function removeWhenExpired(deps: RemovalDeps, place: DocumentPlace): Promise<boolean> {
  try {
    const check: RemovalCheck = (transaction, acceptedAt) => checkExpired(transaction, place, acceptedAt)
    return (await removeQuietly(deps, place, check)).wasVisible
  } catch (error) {
    if (error instanceof GivenAgain) return false
    throw error
  }
}

async function findExpired(database: Database): Promise<DocumentPlace[]> {
  const { rows } = await database.tx('system', ({ last }) => last(`${expiredSql} order by d.updated_at limit ${expiredMax}`), {
    name: 'find_expired',
    readOnly: true,
  })
  return rows.map(({ tenant, collection, id }) => ({ tenant: String(tenant), collection: String(collection), document: String(id) }))
}

async function checkExpired(
  transaction: Transaction,
  { tenant, collection, document }: DocumentPlace,
  acceptedAt: readonly string[],
): Promise<void> {
  const text = `${expiredSql} and d.tenant = $1 and d.collection = $2 and d.id = $3 and not (cut.at <= any($4::timestamptz[]))`
  const { rows } = await transaction.query(text, [tenant, collection, document, acceptedAt])
  if (rows.length === 0) throw new GivenAgain()
}

/** A `DocumentCheck` that hears when those of the document's jobs, which are gone by then, were accepted that were about to give it anew. */
type RemovalCheck = (transaction: Transaction, acceptedAt: readonly string[]) => Promise<void>

function removeQuietly(
  { database, deleteDocument }: RemovalDeps,
  place: DocumentPlace,
  check?: RemovalCheck,
): Promise<Removed & { readonly wasVisible: boolean }> {
  const { tenant, collection, document } = place
  return database.tx(
    { tenant },
    async (transaction) => {
      const values = [tenant, collection, document]
      // Jobs first: their workers hold these rows before they hold the collection's.
      const jobs = await transaction.query(
        `delete from rag_jobs where tenant = $1 and collection = $2 and document = $3
          returning id, ${onItsWay} as on_its_way, created_at::text as accepted_at`,
        values,
      )
      const onTheirWay = jobs.rows.filter((job) => job['on_its_way'] === true)
      await check?.(
        transaction,
        onTheirWay.map((job) => String(job['accepted_at'])),
      )
      const wasVisible = await deleteDocument(transaction, place)
      const sources = await transaction.query('delete from rag_sources where tenant = $1 and collection = $2 and document = $3', values)
      const wasThere = wasVisible || jobs.rowCount + sources.rowCount > 0
      return { wasVisible, wasThere, jobs: jobs.rows.map(({ id }) => String(id)) }
    },
    { name: 'remove_document', ...wholeDocument },
  )
}
