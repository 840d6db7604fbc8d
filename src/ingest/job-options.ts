/** Options of ingest jobs, as configuration gives them. */
import { z } from 'zod'

import { byteSize, durationMs } from '../core/options.ts'

/** A folder of this machine whose files are documents of a collection. */
const folder = z.strictObject({
  /** Unique; no part of a path. */
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/),
  path: z.string().min(1),
  collection: z.string().min(1).max(63),
  tenant: z.string().min(1).default('local'),
  /** Globs of paths below the folder. */
  include: z.array(z.string().min(1)).min(1).default(['**']),
  exclude: z.array(z.string().min(1)).default(['**/.*', '**/.*/**', '**/node_modules/**']),
  /** Whether a file that is gone takes its document with it. */
  removesDeleted: z.boolean().default(true),
  /** How often the folder is looked through beside what the system tells. */
  everyMs: durationMs(60_000, { minMs: 1_000 }),
})

export const ingestOptions = z.strictObject({
  /** Documents may be given by URL. */
  urls: z.boolean().default(true),
  folders: z.array(folder).max(100).default([]),
  /** Processes that read documents, at once. */
  parsers: z.int().min(1).max(64).default(2),
  /** Documents worked on at once in this process. */
  workers: z.int().min(1).max(64).default(8),
  /** Texts per request to the embedder; the fleet deals a request out over its nodes. */
  embedBatchTexts: z.int().min(1).max(2_048).default(64),
  /** Requests to the embedder at once, over all jobs of this process: while one is written, others keep the nodes busy. */
  embedInFlight: z.int().min(1).max(64).default(8),
  /** Documents whose bytes are read and parsed at once; each holds its bytes in memory. */
  extractInFlight: z.int().min(1).max(64).default(2),
  /** Documents written at once; each holds its text and vectors in memory. Of one collection only one is written, while the next is read. */
  indexInFlight: z.int().min(1).max(64).default(2),
  /** A request to the embedder that takes longer has failed. */
  embedTimeoutMs: durationMs(120_000, { minMs: 100 }),
  /** A job whose worker is not heard of for this long goes to another. */
  leaseMs: durationMs(30_000, { minMs: 100 }),
  /** Attempts before a job counts as failed. */
  attemptsMax: z.int().min(1).max(100).default(4),
  /** First wait before an attempt is repeated; doubles each time. */
  retryDelayMs: durationMs(2_000, { minMs: 1 }),
  retryDelayMsMax: durationMs(60_000, { minMs: 1 }),
  /** Tries in a row without an embedder after which the job is shown as paused; it goes on by itself when the embedder is back. */
  waitsMax: z.int().min(0).max(100).default(3),
  /** How often idle workers look for work of other processes. */
  pollMs: durationMs(1_000, { minMs: 10 }),
  /** How long finished jobs are listed. */
  keepJobsMs: durationMs(30 * 86_400_000, { minMs: 1_000 }),
  /** Largest document. */
  sourceBytesMax: byteSize(25_000_000, { minBytes: 1 }),
  /** Most chunks of one document. */
  chunksMax: z.int().min(1).default(50_000),
  /** How often documents over their retention are looked for. */
  sweepMs: durationMs(60_000, { minMs: 100 }),
})

/** Limits of transactions that read, write or clear a whole document, which may be large. */
export const wholeDocument = { statementTimeoutMs: 120_000, transactionTimeoutMs: 600_000 } as const

export type IngestOptions = z.infer<typeof ingestOptions>
