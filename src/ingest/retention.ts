/**
 * What time removes: documents older than their collection keeps them, jobs that ended long ago, uploads that broke off. A bounded number
 * per turn, each document in its own transaction; replicas that meet find less to do.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { removeDocument } from './documents.ts'
import type { DocumentPlace, IngestDeps } from './job-deps.ts'
import { sweepSources } from './sources.ts'

const documentsPerSweep = 500
const unfinishedAfterMs = 3_600_000
const jobsPerSweep = 10_000

/** Documents whose time is over, oldest first. */
async function expired({ database }: IngestDeps): Promise<DocumentPlace[]> {
  const text = `select d.tenant, d.collection, d.id from rag_documents d
    join rag_collections c on c.tenant = d.tenant and c.id = d.collection
    where jsonb_typeof(c.settings -> 'retentionDays') = 'number'
      and d.updated_at < now() - make_interval(secs => (c.settings ->> 'retentionDays')::float8 * 86400)
    order by d.updated_at limit ${documentsPerSweep}`
  const { rows } = await database.tx('system', ({ last }) => last(text), { name: 'find_expired', readOnly: true })
  return rows.map(({ tenant, collection, id }) => ({ tenant: String(tenant), collection: String(collection), document: String(id) }))
}

/** One turn; gives how many documents were removed. Rejects with what the store says. */
export async function sweepOnce(deps: IngestDeps): Promise<number> {
  const { database, clock, options } = deps
  const places = await expired(deps)
  for (const place of places) await removeDocument(database, place, deps)
  await sweepSources(database, new Date(clock.wallMs() - unfinishedAfterMs))
  const before = new Date(clock.wallMs() - options().keepJobsMs).toISOString()
  const text = `delete from rag_jobs where (tenant, id) in (select tenant, id from rag_jobs where finished_at < $1::timestamptz order by finished_at limit ${jobsPerSweep})`
  await database.tx('system', (transaction) => transaction.query(text, [before]), { name: 'remove_expired' })
  return places.length
}

/** Sweeps now and then until it is closed. */
export class Retention {
  readonly #deps: IngestDeps
  readonly #clock: Clock
  #timer: Timer | null = null
  #sweeping: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(deps: IngestDeps) {
    this.#deps = deps
    this.#clock = deps.clock
  }

  start(): void {
    if (this.#isClosed) return
    this.#timer = this.#clock.after(this.#deps.options().sweepMs, () => {
      this.#sweeping = sweepOnce(this.#deps).then(
        () => this.start(),
        (error: unknown) => {
          this.#deps.onTrouble(error)
          this.start()
        },
      )
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#sweeping
  }
}
