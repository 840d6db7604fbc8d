/** A job as clients see it, and what its failure is as an error of the API. */
import { hintOf } from '../../core/error-hints.ts'
import { CorralError, type ErrorCode, errorCatalogue } from '../../core/errors.ts'
import type { Job } from '../../ingest/job.ts'
import { stageViews } from '../../ingest/progress.ts'
import { collectionNames } from '../../search/collections.ts'
import type { Database } from '../../store/database.ts'

/** Views of jobs of one tenant, with the names of their collections. */
export async function jobViews(database: Database, jobs: readonly Job[]): Promise<object[]> {
  const [first] = jobs
  if (first === undefined) return []
  const { tenant } = first
  const ids = [...new Set(jobs.map(({ collection }) => collection))]
  const names = await database.tx({ tenant }, (transaction) => collectionNames(transaction, { tenant, ids }), {
    name: 'read_collection_names',
    readOnly: true,
  })
  return jobs.map((job) => viewOf(job, names.get(job.collection) ?? null))
}

function viewOf(job: Job, collection: string | null): object {
  const { id, document, kind, state, stage, name, uri, outcome, duplicateOf, attempts, error } = job
  const times = { createdAt: isoOf(job.createdAtMs), startedAt: isoOf(job.startedAtMs), finishedAt: isoOf(job.finishedAtMs) }
  return {
    id,
    collection,
    document,
    kind,
    state,
    stage,
    stages: stageViews(job),
    name,
    uri,
    outcome,
    duplicateOf,
    attempts,
    error: error === null ? null : { ...error, hint: hintOf(error.code) },
    ...times,
  }
}

function isoOf(atMs: number | null): string | null {
  return atMs === null ? null : new Date(atMs).toISOString()
}

/** Why a job failed, with the status that its reason has. */
export function failureOf({ error, name }: Job): CorralError {
  const code = error?.code ?? 'internal'
  return new CorralError(isCode(code) ? code : 'internal', `${name}: ${error?.message ?? 'the job failed'}`)
}

function isCode(code: string): code is ErrorCode {
  return code in errorCatalogue
}
