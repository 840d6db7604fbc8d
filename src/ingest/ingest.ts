/**
 * Documents in: bytes or addresses become jobs, jobs become documents that can be found. The one way in for the surfaces and for the
 * watched folders; what it needs of others is in `job-deps.ts`.
 */
import { type GivenDocument, submitDocument, type Submitted } from './documents.ts'
import type { Job } from './job.ts'
import type { DocumentPlace, IngestDeps } from './job-deps.ts'
import { cancelJob, type ControlVerdict, pauseJob, resumeJob, retryFailedJobs, retryJob } from './jobs/job-control.ts'
import { type JobList, countJobs, listJobs, readJob } from './jobs/job-rows.ts'
import { JobWorkers } from './jobs/job-worker.ts'
import type { JobPlace } from './jobs/parts.ts'
import { JobEvents, watchJob } from './progress.ts'
import type { Transaction } from '../store/database.ts'
import { reingestCollection, reingestDocument } from './reingest.ts'
import { type DocumentCheck, removeDocument, removeDocuments } from './removal.ts'
import { Retention } from './retention.ts'
import { deleteSource, type Source, sourceBytes, sourceOfDocument, storeSource } from './sources.ts'

export type * from './job-deps.ts'

/** What somebody gives, before its bytes are stored. */
export interface GivenFile extends Omit<GivenDocument, 'kind' | 'source'> {
  readonly declaredType: string | null
}

/** The feature: documents in, jobs told of, nothing left behind. */
export class Ingest {
  readonly #deps: IngestDeps
  readonly #events = new JobEvents()
  readonly #workers: JobWorkers
  readonly #retention: Retention

  constructor(deps: IngestDeps) {
    this.#deps = deps
    this.#workers = new JobWorkers(deps, this.#events)
    this.#retention = new Retention(deps)
  }

  /** Begins to work. Before, documents may be given and wait. */
  start(): void {
    this.#workers.start()
    this.#retention.start()
  }

  /** Stops work; jobs that run go back to the queue as they are. */
  async close(): Promise<void> {
    await Promise.all([this.#workers.close(), this.#retention.close()])
  }

  /** Stores bytes and makes a job of them. Throws `body_too_large`, `conflict`, `queue_full`, or what `bytes` throws; then nothing is kept. */
  async submitFile(given: GivenFile, bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Submitted> {
    const { database, options } = this.#deps
    const source = await storeSource(database, given, { bytes, bytesMax: options().sourceBytesMax })
    try {
      return this.#told(await submitDocument(database, { ...given, kind: 'upload', source }))
    } catch (error) {
      await this.#forget(source)
      throw error
    }
  }

  /** Makes a job of a page that the job fetches. Throws `conflict`, `queue_full`. */
  async submitUrl(given: Omit<GivenDocument, 'kind' | 'source'> & { readonly uri: string }): Promise<Submitted> {
    return this.#told(await submitDocument(this.#deps.database, { ...given, kind: 'url', source: null }))
  }

  /** Makes a document again from its bytes; null when they are not kept. */
  async reingest(place: DocumentPlace): Promise<Job | null> {
    const job = await reingestDocument(this.#deps.database, place)
    if (job !== null) this.#workers.wake()
    return job
  }

  /** The same for every document of a collection whose bytes are kept; gives how many jobs there are of it. */
  async reingestAll(place: Omit<DocumentPlace, 'document'>): Promise<number> {
    const jobs = await reingestCollection(this.#deps.database, place)
    if (jobs > 0) this.#workers.wake()
    return jobs
  }

  /** Removes a document, its bytes and its jobs, and forgets kept answers, unless `check` throws; false when there was nothing of it. */
  async remove(place: DocumentPlace, check?: DocumentCheck): Promise<boolean> {
    const { wasThere, jobs } = await removeDocument(this.#deps, place, check)
    for (const id of jobs) this.#changed({ tenant: place.tenant, id })
    return wasThere
  }

  /** Empties a collection of its jobs and bytes, together with what `work` removes of it, and forgets kept answers; gives what `work` gave. */
  async removeAll<T>(place: Omit<DocumentPlace, 'document'>, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const { result, jobs } = await removeDocuments(this.#deps, place, work)
    for (const id of jobs) this.#changed({ tenant: place.tenant, id })
    return result
  }

  /** The source of the visible document, and its bytes one row at a time; null when they are not there. */
  async source(place: DocumentPlace): Promise<{ readonly source: Source; readonly bytes: AsyncIterable<Uint8Array> } | null> {
    const { database } = this.#deps
    const source = await database.tx({ tenant: place.tenant }, (transaction) => sourceOfDocument(transaction, place), {
      name: 'find_source',
      readOnly: true,
    })
    return source === null ? null : { source, bytes: sourceBytes(database, source) }
  }

  job(place: JobPlace): Promise<Job | null> {
    return readJob(this.#deps.database, place)
  }

  jobs(list: JobList): Promise<Job[]> {
    return listJobs(this.#deps.database, list)
  }

  counts(place: { readonly tenant: string; readonly collection: string | null }): ReturnType<typeof countJobs> {
    return countJobs(this.#deps.database, place)
  }

  /** The job's states as they come, until it is finished or deleted (null). */
  watch(place: JobPlace, signal: AbortSignal): AsyncGenerator<Job | null> {
    const { database, clock, options } = this.#deps
    return watchJob({ database, clock, events: this.#events, pollMs: options().pollMs }, place, signal)
  }

  pause(place: JobPlace): Promise<ControlVerdict | null> {
    return this.#control(pauseJob(this.#deps.database, place))
  }

  resume(place: JobPlace): Promise<ControlVerdict | null> {
    return this.#control(resumeJob(this.#deps.database, place))
  }

  cancel(place: JobPlace): Promise<ControlVerdict | null> {
    return this.#control(cancelJob(this.#deps.database, place))
  }

  retry(place: JobPlace): Promise<ControlVerdict | null> {
    return this.#control(retryJob(this.#deps.database, place))
  }

  /** Tries the failed jobs of a collection again; gives how many. */
  async retryFailed(place: { readonly tenant: string; readonly collection: string }): Promise<number> {
    const retried = await retryFailedJobs(this.#deps.database, place)
    if (retried > 0) this.#workers.wake()
    return retried
  }

  /** Removes what time removes, now; gives how many documents. */
  sweep(): Promise<number> {
    return this.#retention.sweep()
  }

  #told(submitted: Submitted): Submitted {
    if (submitted.isNew) this.#workers.wake()
    return submitted
  }

  async #control(changing: Promise<ControlVerdict | null>): Promise<ControlVerdict | null> {
    const verdict = await changing
    if (verdict?.isChanged === true) this.#changed(verdict.job)
    return verdict
  }

  #changed(place: JobPlace): void {
    this.#workers.interrupt(place)
    this.#events.emit(place)
    this.#workers.wake()
  }

  async #forget({ tenant, id }: Source): Promise<void> {
    try {
      await this.#deps.database.tx({ tenant }, (transaction) => deleteSource(transaction, { tenant, id }), { name: 'forget_source' })
    } catch (error) {
      this.#deps.onTrouble(error)
    }
  }
}
