/**
 * Stage embed: a vector for every chunk that has none yet. Batches run side by side so that the whole fleet is busy, and each is kept
 * when it arrives, so that after a crash only what was in flight is asked again. Vectors of two digests never meet in one document: when
 * the model changes in between, the earlier ones are thrown away.
 */
import type { Chunk } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import type { IngestDeps } from './job-deps.ts'
import type { Job } from './job.ts'
import type { StageGates } from './jobs/gate.ts'
import { wholeDocument } from './job-options.ts'
import type { Lease } from './jobs/lease.ts'
import { clearVectors, type Prepared, readVectorHashes, saveVectors } from './jobs/parts.ts'
import type { Report } from './progress.ts'
import { notePrepared } from './stage-prepare.ts'

/** The embedder could not be had: the job waits, its attempts are not used up. */
export class EmbedderMissing extends Error {
  override readonly name = 'EmbedderMissing'
  readonly failure: CorralError

  constructor(failure: CorralError) {
    super(failure.message, { cause: failure })
    this.failure = failure
  }
}

export interface EmbedContext {
  readonly deps: IngestDeps
  readonly report: Report
  readonly gates: StageGates
}

/** Rounds in which the model's digest may change before the job gives up. */
const roundsMax = 3

interface Task {
  readonly job: Job
  readonly lease: Lease
  readonly model: string
  readonly prepared: Prepared
}

class DigestChanged extends Error {}

/** Embeds what is missing; gives the prepared document with its digest. Throws `EmbedderMissing`. */
export async function embedChunks(
  { job, lease, prepared, chunks }: { job: Job; lease: Lease; prepared: Prepared; chunks: readonly Chunk[] },
  context: EmbedContext,
): Promise<Prepared> {
  const { model } = prepared
  if (model === null) return prepared
  let digest = prepared.digest
  for (let round = 0; round < roundsMax; round += 1) {
    try {
      return await embedRound({ job, lease, model, prepared: { ...prepared, digest } }, chunks, context)
    } catch (error) {
      if (!(error instanceof DigestChanged)) throw error
      digest = null
      await lease.tx((transaction) => clearVectors(transaction, job), { name: 'embed_chunks', ...wholeDocument })
      await notePrepared(lease, job, { ...prepared, digest })
    }
  }
  throw new CorralError('node_failed', `the nodes answer with different builds of ${model}: pull the same one on all of them`)
}

async function embedRound(task: Task, chunks: readonly Chunk[], context: EmbedContext): Promise<Prepared> {
  const { job, lease } = task
  const { made, digest } = await alreadyMade(task, context.deps)
  const texts = new Map(chunks.map(({ hash, embedText }) => [hash, embedText]))
  const missing = [...texts].filter(([hash]) => !made.has(hash))
  const total = texts.size
  let done = total - missing.length
  await context.report({ stage: 'embed', done, total })
  const known = { digest }
  const { embedBatchTexts } = context.deps.options()
  const batches: [string, string][][] = []
  for (let at = 0; at < missing.length; at += embedBatchTexts) batches.push(missing.slice(at, at + embedBatchTexts))
  await inParallel(batches, { ...context, outer: lease.signal }, async (batch, signal) => {
    const vectors = await embedBatch(batch, { task, deps: context.deps, signal })
    if (known.digest !== null && known.digest !== vectors.digest) throw new DigestChanged('the digest of the embedder changed')
    const isFirst = known.digest === null
    known.digest = vectors.digest
    if (isFirst) await notePrepared(lease, job, { ...task.prepared, digest: vectors.digest })
    await lease.tx((transaction) => saveVectors(transaction, job, vectors.byHash), { name: 'embed_round' })
    done += batch.length
    await context.report({ stage: 'embed', done, total })
  })
  return { ...task.prepared, digest: known.digest }
}

/** What needs no embedding: vectors of an earlier attempt, and those of chunks that did not change where the embedder did not either. */
async function alreadyMade(
  { job, model, prepared }: Task,
  { database, heldVectors, embedderDigest }: IngestDeps,
): Promise<{ made: Set<string>; digest: string | null }> {
  const { tenant, collection, document } = job
  return database.tx(
    { tenant },
    async (transaction) => {
      const made = prepared.digest === null ? new Set<string>() : await readVectorHashes(transaction, job)
      if (job.kind === 'reingest') return { made, digest: prepared.digest }
      const held = await heldVectors(transaction, { tenant, collection, document }, prepared.digest ?? embedderDigest(model))
      if (held.hashes.size === 0) return { made, digest: prepared.digest }
      return { made: new Set([...made, ...held.hashes]), digest: held.digest }
    },
    { name: 'already_made', readOnly: true },
  )
}

async function embedBatch(
  batch: readonly (readonly [string, string])[],
  { task, deps, signal }: { task: Task; deps: IngestDeps; signal: AbortSignal },
): Promise<{ byHash: Map<string, Float32Array>; digest: string }> {
  const texts = batch.map(([, text]) => text)
  const limit = AbortSignal.any([signal, AbortSignal.timeout(deps.options().embedTimeoutMs)])
  try {
    const { vectors, digest, promptTokens } = await deps.embed(texts, {
      model: task.model,
      tenant: task.job.tenant,
      role: 'document',
      priority: 'batch',
      signal: limit,
    })
    if (vectors.length !== texts.length) throw new CorralError('node_protocol', `${texts.length} texts gave ${vectors.length} vectors`)
    deps.events?.embedded(texts.length, true)
    if (promptTokens !== undefined && promptTokens !== null) deps.estimates.learn(task.model, texts, promptTokens)
    return { byHash: new Map(batch.map(([hash], index) => [hash, vectors[index] ?? new Float32Array(0)])), digest }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    deps.events?.embedded(texts.length, false)
    if (error instanceof CorralError && (error.retryable || error.status === 404)) throw new EmbedderMissing(error)
    if (limit.aborted)
      throw new EmbedderMissing(new CorralError('node_timeout', `${task.model} did not embed ${texts.length} texts in time`))
    throw error
  }
}

/** Runs `work` for every batch, as many at once as the process may; the first failure stops the rest and is thrown when all have ended. */
async function inParallel<T>(
  items: readonly T[],
  { deps, gates, outer }: EmbedContext & { readonly outer: AbortSignal },
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  const signal = AbortSignal.any([outer, stop.signal])
  const queue = items.values()
  const lane = async (): Promise<void> => {
    for (const item of queue) {
      try {
        await gates.embed.pass(signal, () => work(item, signal))
      } catch (error) {
        stop.abort(error)
        throw error
      }
    }
  }
  const lanes = Array.from({ length: Math.min(items.length, deps.options().embedInFlight) }, lane)
  const ended = await Promise.allSettled(lanes)
  if (outer.aborted) throw outer.reason
  if (stop.signal.aborted) throw stop.signal.reason
  const failed = ended.find((end) => end.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
