/** Searches, answers and jobs as metrics: events are counted where they end, jobs are read from the store now and then. */
import type { FinishedAnswer } from '../answer/answer-stream.ts'
import type { SearchMode, SearchRequest } from '../core/corpus.ts'
import { citationOrigins, dropReasons } from '../core/citation.ts'
import { countJobsOfAll, type JobsInState } from '../ingest/jobs/job-rows.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type IndexSize, readIndexSize } from '../search/index-size.ts'
import type { Database } from '../store/database.ts'
import type { FoundAnswer } from './retrieval-cache.ts'

const msPerSecond = 1_000
const embedOutcomes = ['ok', 'failed']
const searchModes: readonly SearchMode[] = ['keyword', 'vector', 'hybrid']
const searchResults = ['ok', 'empty', 'degraded', 'cached', 'failed']
const answerResults = ['generated', 'cached', 'refused', 'client_gone', 'failed']

export class RagMetrics {
  readonly #metrics: Metrics
  readonly #database: Database
  #jobs: readonly JobsInState[] = []
  #size: IndexSize | null = null

  constructor(metrics: Metrics, database: Database) {
    this.#metrics = metrics
    this.#database = database
    metrics.addSource(() => this.#showJobs())
    const { citations, citationsDropped, embeddings, ragAnswers, searches } = metrics.families
    for (const outcome of embedOutcomes) embeddings.at(outcome)
    for (const reason of dropReasons) citationsDropped.at(reason)
    for (const origin of citationOrigins) citations.at(origin)
    for (const result of answerResults) ragAnswers.at(result)
    for (const mode of searchModes) for (const result of searchResults) searches.at(mode, result)
  }

  searched({ mode }: SearchRequest, { results, timings, degraded, cached }: FoundAnswer): void {
    const { searches, retrievalSeconds, retrievalResults } = this.#metrics.families
    if (cached) {
      searches.at(mode, 'cached').value += 1
      return
    }
    searches.at(mode, degraded !== null ? 'degraded' : results.length === 0 ? 'empty' : 'ok').value += 1
    retrievalResults.at(mode).observe(results.length)
    const { embedMs, keywordMs, vectorMs, fuseMs, rerankMs, totalMs } = timings
    const stages = { embed: embedMs, keyword: keywordMs, vector: vectorMs, fuse: fuseMs, rerank: rerankMs, total: totalMs }
    for (const [stage, tookMs] of Object.entries(stages)) if (tookMs > 0) retrievalSeconds.at(stage).observe(tookMs / msPerSecond)
  }

  searchFailed({ mode }: SearchRequest): void {
    this.#metrics.families.searches.at(mode, 'failed').value += 1
  }

  answered({ outcome, summary }: FinishedAnswer): void {
    const { ragAnswers, citations, citationsDropped } = this.#metrics.families
    const made = summary.refused ? 'refused' : outcome.cached === true ? 'cached' : 'generated'
    ragAnswers.at(outcome.kind === 'ok' ? made : outcome.kind === 'client_gone' ? 'client_gone' : 'failed').value += 1
    for (const { origin } of summary.citations) citations.at(origin).value += 1
    for (const [reason, count] of Object.entries(summary.gate.dropped)) citationsDropped.at(reason).value += count
  }

  /** A job passed a stage. */
  stagePassed(stage: string, tookMs: number): void {
    this.#metrics.families.ingestSeconds.at(stage).observe(tookMs / msPerSecond)
  }

  /** A batch of texts was given to an embedder. */
  embedded(texts: number, isOk: boolean): void {
    this.#metrics.families.embeddings.at(isOk ? 'ok' : 'failed').value += texts
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
