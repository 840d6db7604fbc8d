/** Options of ingest jobs, as configuration gives them. */
import { z } from 'zod'

export const ingestOptions = z.object({
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
  embedTimeoutMs: z.int().min(100).default(120_000),
  /** A job whose worker is not heard of for this long goes to another. */
  leaseMs: z.int().min(100).default(30_000),
  /** Attempts before a job counts as failed. */
  attemptsMax: z.int().min(1).max(100).default(4),
  /** First wait before an attempt is repeated; doubles each time. */
  retryDelayMs: z.int().min(1).default(2_000),
  retryDelayMsMax: z.int().min(1).default(60_000),
  /** Tries in a row without an embedder after which the job is shown as paused; it goes on by itself when the embedder is back. */
  waitsMax: z.int().min(0).max(100).default(3),
  /** How often idle workers look for work of other processes. */
  pollMs: z.int().min(10).default(1_000),
  /** How long finished jobs are listed. */
  keepJobsMs: z
    .int()
    .min(1_000)
    .default(30 * 86_400_000),
  /** Largest document. */
  sourceBytesMax: z
    .int()
    .min(1)
    .default(100 * 1_048_576),
  /** Most chunks of one document. */
  chunksMax: z.int().min(1).default(50_000),
  /** How often documents over their retention are looked for. */
  sweepMs: z.int().min(100).default(60_000),
})

/** Limits of transactions that read, write or clear a whole document, which may be large. */
export const wholeDocument = { statementTimeoutMs: 120_000, transactionTimeoutMs: 600_000 } as const

export type IngestOptions = z.infer<typeof ingestOptions>
