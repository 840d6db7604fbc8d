/** Searches, answers and jobs as metrics: events are counted where they end, jobs are read from the store now and then. */
import type { FinishedAnswer } from '../answer/answer-stream.ts'
import type { SearchRequest } from '../core/corpus.ts'
import { dropReasons } from '../core/citation.ts'
import { countJobsOfAll, type JobsInState } from '../ingest/jobs/job-rows.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Database } from '../store/database.ts'
import type { FoundAnswer } from './retrieval-cache.ts'

const msPerSecond = 1_000

export class RagMetrics {
  readonly #metrics: Metrics
  readonly #database: Database
  #jobs: readonly JobsInState[] = []

  constructor(metrics: Metrics, database: Database) {
    this.#metrics = metrics
    this.#database = database
    metrics.addSource(() => this.#showJobs())
    for (const reason of dropReasons) metrics.families.citationsDropped.child(reason)
  }

  searched({ mode }: SearchRequest, { results, timings, degraded, cached }: FoundAnswer): void {
    const { searches, retrievalSeconds } = this.#metrics.families
    if (cached) {
      searches.at(mode, 'cached').value += 1
      return
    }
    searches.at(mode, degraded !== null ? 'degraded' : results.length === 0 ? 'empty' : 'ok').value += 1
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

  /** Reads how many jobs there are in which state, for the scrapes to come. */
  async readJobs(): Promise<void> {
    this.#jobs = await countJobsOfAll(this.#database)
  }

  #showJobs(): void {
    const { jobs, jobOldestAge } = this.#metrics.families
    jobs.clear()
    jobOldestAge.clear()
    for (const { state, jobs: count, oldestAgeSeconds } of this.#jobs) {
      jobs.child(state).value = count
      jobOldestAge.child(state).value = oldestAgeSeconds
    }
  }
}
