/**
 * How far an ingest is: what became of each document, and the five stages summed up over all of them. Documents weigh as much as they
 * have bytes, so that one large file does not stand at 99 % for minutes.
 */
import type { GivenSource } from './ingest-sources.ts'
import { isOver, type JobView, type Stage } from './rag-api.ts'

export const stageNames: readonly Stage[] = ['upload', 'extract', 'chunk', 'embed', 'index']

/** What the stages cost of the whole, as measured on prose with an embedder on one GPU. */
const stageCost: Readonly<Record<Stage, number>> = { upload: 0.05, extract: 0.15, chunk: 0.05, embed: 0.65, index: 0.1 }

/** `skipped`: found in a folder, and of no type that can be read, as pictures are among pages. */
export type Ending = 'written' | 'unchanged' | 'duplicate' | 'skipped' | 'failed' | 'cancelled'

export interface Failure {
  readonly document: string
  readonly code: string
  readonly message: string
}

export interface StageSum {
  readonly stage: Stage
  /** 0–1, by weight. */
  readonly share: number
  /** Documents that are through with it. */
  readonly documents: number
  /** Of the embed stage: chunks of the documents that are cut by now; else 0. */
  readonly chunksDone: number
  readonly chunksTotal: number
}

interface Entry {
  readonly weight: number
  readonly source: GivenSource
  sentShare: number
  job: JobView | null
  ending: Ending | null
}

/** Weight of the smallest: each takes some time whatever its size. */
const weightMin = 1_000

export class Tally {
  readonly documents: number
  readonly failures: Failure[] = []
  readonly #entries = new Map<string, Entry>()
  readonly #weight: number
  #counts: Record<Ending, number> = { written: 0, unchanged: 0, duplicate: 0, skipped: 0, failed: 0, cancelled: 0 }

  constructor(sources: readonly GivenSource[]) {
    this.documents = sources.length
    let weight = 0
    for (const source of sources) {
      const own = Math.max(source.sizeBytes, weightMin)
      weight += own
      this.#entries.set(source.document, { weight: own, source, sentShare: 0, job: null, ending: null })
    }
    this.#weight = weight
  }

  get counts(): Readonly<Record<Ending, number>> {
    return this.#counts
  }

  /** Documents of which nothing more will be heard. */
  get over(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0)
  }

  /** Chunks of what was written. */
  get chunks(): number {
    return [...this.#entries.values()].reduce((sum, { job, ending }) => sum + (ending === 'written' ? totalOf(job, 'chunk') : 0), 0)
  }

  /** Jobs that are not over, oldest first. */
  get openJobs(): readonly JobView[] {
    return [...this.#entries.values()].flatMap(({ job, ending }) => (job !== null && ending === null ? [job] : []))
  }

  /** Bytes of a document are on their way. */
  sent(document: string, sentBytes: number): void {
    const entry = this.#entries.get(document)
    if (entry !== undefined) entry.sentShare = Math.min(1, sentBytes / Math.max(1, entry.source.sizeBytes))
  }

  /** Takes in the state of a document's job. True: it is over now and was not before. */
  heard(document: string, job: JobView): boolean {
    const entry = this.#entries.get(document)
    if (entry === undefined || entry.ending !== null) return false
    entry.job = job
    entry.sentShare = 1
    if (!isOver(job)) return false
    if (job.state === 'done') this.#end(entry, job.outcome ?? 'written')
    else if (job.state === 'cancelled') this.#end(entry, 'cancelled')
    else this.failed(document, { code: job.error?.code ?? 'internal', message: job.error?.message ?? 'the job failed' })
    return true
  }

  /** A document was not taken. */
  failed(document: string, reason: Omit<Failure, 'document'>): void {
    const entry = this.#entries.get(document)
    if (entry === undefined || entry.ending !== null) return
    if (!entry.source.wasNamed && isNoPage(document, reason.code)) {
      this.#end(entry, 'skipped')
      return
    }
    this.failures.push({ document, ...reason })
    this.#end(entry, 'failed')
  }

  stages(): readonly StageSum[] {
    return stageNames.map((stage) => this.#sum(stage))
  }

  /** Of everything there is to do, 0–1. */
  share(): number {
    return this.stages().reduce((sum, { stage, share }) => sum + share * stageCost[stage], 0)
  }

  #end(entry: Entry, ending: Ending): void {
    entry.ending = ending
    this.#counts[ending] += 1
  }

  #sum(stage: Stage): StageSum {
    let weight = 0
    let documents = 0
    let chunksDone = 0
    let chunksTotal = 0
    for (const entry of this.#entries.values()) {
      const share = shareOf(entry, stage)
      weight += entry.weight * share
      if (share === 1) documents += 1
      if (stage !== 'embed' || entry.ending === 'unchanged' || entry.ending === 'duplicate') continue
      const chunks = totalOf(entry.job, 'chunk')
      chunksTotal += chunks
      chunksDone += Math.round(chunks * share)
    }
    return { stage, share: this.#weight === 0 ? 1 : weight / this.#weight, documents, chunksDone, chunksTotal }
  }
}

function shareOf({ ending, sentShare, job }: Entry, stage: Stage): number {
  if (ending !== null) return 1
  // Bytes that the gateway has are uploaded; its own upload stage reads them back.
  if (stage === 'upload') return job === null ? sentShare : 1
  if (job === null) return 0
  if (stageNames.indexOf(stage) < stageNames.indexOf(job.stage)) return 1
  const found = job.stages.find((view) => view.stage === stage)
  return found === undefined || found.total === 0 ? 0 : Math.min(1, found.done / found.total)
}

function totalOf(job: JobView | null, stage: Stage): number {
  return job?.stages.find((view) => view.stage === stage)?.total ?? 0
}

/** Whether a file that a folder happened to hold is none of its documents. A scanned PDF is one, and cannot be read: that is told. */
function isNoPage(document: string, code: string): boolean {
  return code === 'document_unsupported' || (code === 'document_needs_ocr' && !document.toLowerCase().endsWith('.pdf'))
}
