/**
 * What a job is to its owner: one document on its way in, with a state, a stage and counts. Read from rows here, so that nobody else
 * needs their column names.
 */
import { z } from 'zod'

import type { Metadata } from '../core/corpus.ts'
import type { Row } from '../store/database.ts'

export const stages = ['upload', 'extract', 'chunk', 'embed', 'index'] as const
export type Stage = (typeof stages)[number]

export type JobState = 'queued' | 'running' | 'paused' | 'done' | 'failed' | 'cancelled'

/** `total` is 0 while nobody knows it. */
export interface StageCount {
  readonly done: number
  readonly total: number
  /** Since the stage began in this attempt; null while that is too short to say. */
  readonly ratePerSecond: number | null
}

export interface Job {
  readonly tenant: string
  readonly id: string
  /** The collection's id. */
  readonly collection: string
  readonly document: string
  readonly kind: 'upload' | 'url' | 'reingest'
  readonly state: JobState
  readonly stage: Stage
  readonly counts: Readonly<Partial<Record<Stage, StageCount>>>
  readonly stageStartedAtMs: number | null
  readonly priority: number
  readonly source: string | null
  readonly name: string
  readonly title: string | null
  readonly uri: string | null
  readonly metadata: Metadata
  readonly isSearchableWithoutVectors: boolean
  readonly skipsDuplicates: boolean
  readonly contentHash: string | null
  readonly outcome: 'written' | 'unchanged' | 'duplicate' | null
  /** Another document of the collection with the same bytes. */
  readonly duplicateOf: string | null
  readonly attempts: number
  readonly waits: number
  readonly runAtMs: number | null
  readonly leaseOwner: string | null
  readonly heartbeatAtMs: number | null
  /** Of a failed job the reason; of a queued or paused one, why it waits. */
  readonly error: { readonly code: string; readonly message: string } | null
  readonly createdAtMs: number
  readonly startedAtMs: number | null
  readonly finishedAtMs: number | null
}

/** Nothing more will happen to it by itself. */
export function isFinished({ state }: Pick<Job, 'state'>): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled'
}

const count = z.object({ done: z.number(), total: z.number(), ratePerSecond: z.number().nullable().default(null) })
const atMs = z.date().transform((date) => date.getTime())
const metadataValue = z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.union([z.string(), z.number(), z.boolean()]))])
export const metadataShape = z.record(z.string(), metadataValue)

const jobRow = z.object({
  tenant: z.string(),
  id: z.string(),
  collection: z.string(),
  document: z.string(),
  kind: z.enum(['upload', 'url', 'reingest']),
  state: z.enum(['queued', 'running', 'paused', 'done', 'failed', 'cancelled']),
  stage: z.enum(stages),
  counts: z.partialRecord(z.enum(stages), count),
  stage_started_at: atMs.nullable(),
  priority: z.number(),
  source: z.string().nullable(),
  name: z.string(),
  title: z.string().nullable(),
  uri: z.string().nullable(),
  metadata: metadataShape,
  is_searchable_without_vectors: z.boolean(),
  skips_duplicates: z.boolean(),
  content_hash: z.string().nullable(),
  outcome: z.enum(['written', 'unchanged', 'duplicate']).nullable(),
  duplicate_of: z.string().nullable(),
  attempts: z.number(),
  waits: z.number(),
  run_at: atMs.nullable(),
  lease_owner: z.string().nullable(),
  heartbeat_at: atMs.nullable(),
  error_code: z.string().nullable(),
  error_message: z.string().nullable(),
  created_at: atMs,
  started_at: atMs.nullable(),
  finished_at: atMs.nullable(),
})

/** The columns `jobOf` reads. */
export const jobColumns = Object.keys(jobRow.shape).join(', ')

/** A row of `rag_jobs` as a job. */
export function jobOf(row: Row): Job {
  const read = jobRow.parse(row)
  return {
    tenant: read.tenant,
    id: read.id,
    collection: read.collection,
    document: read.document,
    kind: read.kind,
    state: read.state,
    stage: read.stage,
    counts: read.counts,
    stageStartedAtMs: read.stage_started_at,
    priority: read.priority,
    source: read.source,
    name: read.name,
    title: read.title,
    uri: read.uri,
    metadata: read.metadata,
    isSearchableWithoutVectors: read.is_searchable_without_vectors,
    skipsDuplicates: read.skips_duplicates,
    contentHash: read.content_hash,
    outcome: read.outcome,
    duplicateOf: read.duplicate_of,
    attempts: read.attempts,
    waits: read.waits,
    runAtMs: read.run_at,
    leaseOwner: read.lease_owner,
    heartbeatAtMs: read.heartbeat_at,
    error: read.error_code === null ? null : { code: read.error_code, message: read.error_message ?? '' },
    createdAtMs: read.created_at,
    startedAtMs: read.started_at,
    finishedAtMs: read.finished_at,
  }
}
