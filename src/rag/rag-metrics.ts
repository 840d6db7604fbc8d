/** Searches, answers, documents and jobs as metrics: events are counted where they end, jobs are read from the store now and then. */
import { extname } from 'node:path'

import type { FinishedAnswer } from '../answer/answer-stream.ts'
import { suspectedFrom } from '../answer/injection-score.ts'
import type { SearchMode, SearchRequest } from '../core/corpus.ts'
import { citationOrigins, dropReasons } from '../core/citation.ts'
import { type AttemptResult, type IngestEvents } from '../ingest/job-deps.ts'
import type { Job } from '../ingest/job.ts'
import { countJobsOfAll, type JobsInState } from '../ingest/jobs/job-rows.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type IndexSize, readIndexSize } from '../search/index-size.ts'
import type { Database } from '../store/database.ts'
import type { FoundAnswer } from './retrieval-cache.ts'

const msPerSecond = 1_000
const embedOutcomes = ['ok', 'failed']
const searchModes: readonly SearchMode[] = ['keyword', 'vector', 'hybrid']
const searchResults = ['ok', 'empty', 'degraded', 'cached', 'failed']
const injectionVerdicts = ['plain', 'suspected']
const answerResults = ['generated', 'cached', 'refused', 'client_gone', 'failed']

export class RagMetrics implements IngestEvents {
  readonly #metrics: Metrics
  readonly #database: Database
  #jobs: readonly JobsInState[] = []
  #size: IndexSize | null = null

  constructor(metrics: Metrics, database: Database) {
    this.#metrics = metrics
    this.#database = database
    metrics.addSource(() => this.#showJobs())
    const { citations, citationsDropped, embeddings, ragAnswers, ragPassages, searches } = metrics.families
    for (const outcome of embedOutcomes) embeddings.at(outcome)
    for (const reason of dropReasons) citationsDropped.at(reason)
    for (const origin of citationOrigins) citations.at(origin)
    for (const result of answerResults) ragAnswers.at(result)
    for (const verdict of injectionVerdicts) ragPassages.at(verdict)
    for (const mode of searchModes) for (const result of searchResults) searches.at(mode, result)
  }

  searched({ mode }: SearchRequest, { results, timings, degraded, cached }: FoundAnswer): void {
    const { searches, retrievalSeconds, retrievalResults, retrievalTopScore } = this.#metrics.families
    if (cached) {
      searches.at(mode, 'cached').value += 1
      return
    }
    searches.at(mode, degraded !== null ? 'degraded' : results.length === 0 ? 'empty' : 'ok').value += 1
    retrievalResults.at(mode).observe(results.length)
    const [first] = results
    if (first !== undefined) retrievalTopScore.at(mode).observe(first.score)
    const { embedMs, keywordMs, vectorMs, fuseMs, rerankMs, totalMs } = timings
    const stages = { embed: embedMs, keyword: keywordMs, vector: vectorMs, fuse: fuseMs, rerank: rerankMs, total: totalMs }
    for (const [stage, tookMs] of Object.entries(stages)) if (tookMs > 0) retrievalSeconds.at(stage).observe(tookMs / msPerSecond)
  }

  searchFailed({ mode }: SearchRequest): void {
    this.#metrics.families.searches.at(mode, 'failed').value += 1
  }

  answered({ outcome, summary }: FinishedAnswer): void {
    const { ragAnswers, citations, citationsDropped, ragPassages, promptWithheld } = this.#metrics.families
    const made = summary.refused ? 'refused' : outcome.cached === true ? 'cached' : 'generated'
    ragAnswers.at(outcome.kind === 'ok' ? made : outcome.kind === 'client_gone' ? 'client_gone' : 'failed').value += 1
    for (const { origin } of summary.citations) citations.at(origin).value += 1
    for (const [reason, count] of Object.entries(summary.gate.dropped)) citationsDropped.at(reason).value += count
    for (const { injection } of summary.sources) ragPassages.at(injection < suspectedFrom ? 'plain' : 'suspected').value += 1
    promptWithheld.child().value += summary.gate.withheld
  }

  stagePassed(stage: string, tookMs: number): void {
    this.#metrics.families.ingestSeconds.at(stage).observe(tookMs / msPerSecond)
  }

  embedded(texts: number, isOk: boolean): void {
    this.#metrics.families.embeddings.at(isOk ? 'ok' : 'failed').value += texts
  }

  attemptEnded(job: Job, result: AttemptResult, tookMs: number): void {
    const { documents, chunks, ingestBytes, jobWait, jobDuration, jobFailures } = this.#metrics.families
    jobDuration.at(result.state).observe(tookMs / msPerSecond)
    if (job.attempts === 1 && job.startedAtMs !== null) jobWait.child().observe((job.startedAtMs - job.createdAtMs) / msPerSecond)
    if (result.state !== 'done') {
      jobFailures.at(result.code).value += 1
      if (result.state === 'failed') documents.at(kindOf(job.name), 'failed').value += 1
      return
    }
    documents.at(kindOf(job.name, result.contentType), result.outcome).value += 1
    if (result.outcome !== 'written') return
    chunks.child().value += result.chunks
    ingestBytes.child().value += result.sizeBytes
  }

  /** Reads how many jobs there are in which state, and how large the index is, for the scrapes to come. */
  async read(): Promise<void> {
    this.#jobs = await countJobsOfAll(this.#database)
    this.#size = await readIndexSize(this.#database)
  }

  #showJobs(): void {
    const { jobs, jobOldestAge, indexDocuments, indexChunks, indexBytes } = this.#metrics.families
    jobs.clear()
    jobOldestAge.clear()
    for (const { state, jobs: count, oldestAgeSeconds } of this.#jobs) {
      jobs.child(state).value = count
      jobOldestAge.child(state).value = oldestAgeSeconds
    }
    if (this.#size === null) return
    const { documents, chunks, bytes } = this.#size
    indexDocuments.child().value = documents
    indexChunks.child().value = chunks
    indexBytes.child().value = bytes
  }
}

/** Kinds of documents by a part of their content type, or by how their names end where nobody has looked inside. */
const kinds = {
  pdf: ['application/pdf', '.pdf'],
  docx: ['application/vnd.openxmlformats-officedocument.wordprocessingml.document', '.docx'],
  pptx: ['application/vnd.openxmlformats-officedocument.presentationml.presentation', '.pptx'],
  xlsx: ['application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', '.xlsx'],
  html: ['text/html', 'application/xhtml+xml', '.html', '.htm'],
  markdown: ['text/markdown', '.md', '.markdown'],
  csv: ['text/csv', 'text/tab-separated-values', '.csv', '.tsv'],
  json: ['application/json', 'application/x-ndjson', '.json', '.jsonl', '.ndjson'],
  xml: ['application/xml', '.xml'],
  email: ['message/rfc822', '.eml'],
  text: ['text/plain', '.txt'],
} as const
const kindByMark: ReadonlyMap<string, string> = new Map(Object.entries(kinds).flatMap(([kind, marks]) => marks.map((mark) => [mark, kind])))

function kindOf(name: string, contentType: string | null = null): string {
  if (contentType?.startsWith('text/x-') === true) return 'code'
  return kindByMark.get(contentType ?? extname(name).toLowerCase()) ?? 'other'
}
