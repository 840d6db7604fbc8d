/** What the routes below `/rag` stand on. `src/rag/rag.ts` makes the service, `src/app.ts` hands it over. */
import type { AnswerLog } from '../../answer/answer-log.ts'
import type { AnswerRequest } from '../../answer/answer.ts'
import type { AnswerStream } from '../../answer/answer-stream.ts'
import type { AssistantStore } from '../../answer/assistant-store.ts'
import type { SearchLimits } from '../../answer/retrieval.ts'
import type { Clock } from '../../base/clock.ts'
import type { Cursors } from '../../base/cursors.ts'
import type { Call } from '../../core/call.ts'
import type { CollectionSettings, SearchAnswer, SearchRequest } from '../../core/corpus.ts'
import type { Principal } from '../../core/principal.ts'
import type { Ingest } from '../../ingest/ingest.ts'
import type { Told } from '../../observe/events.ts'
import type { PurgeVectors } from '../../search/collections.ts'
import type { Database } from '../../store/database.ts'
import type { Guard } from '../auth/guard.ts'
import type { Act } from '../../identity/key-store.ts'

export interface FoundSearch extends SearchAnswer {
  /** An equal search was made before, and nothing that it looked at has changed. */
  readonly cached: boolean
  /** For `X-Corral-Cache`. `bypass`: such a search is not kept. */
  readonly cacheRole: 'hit' | 'miss' | 'bypass'
}

export interface RagService {
  readonly ingest: Ingest
  readonly assistants: AssistantStore
  readonly answers: AnswerLog
  readonly purgeVectors: PurgeVectors
  /** Of lists. */
  readonly cursors: Cursors
  /** Bytes of an answer that wait for a slow client. */
  readonly queueBytes: () => number
  /** Throws `operation_disabled` or `url_not_allowed` for a page that will not be fetched, as far as its URL tells. */
  checkUrl(url: string): void
  /** Largest document in bytes. */
  readonly documentBytesMax: () => number
  /** Searches in the name of a call. Throws `cache_miss` where the client wants a kept search alone. */
  search(request: SearchRequest, limits: SearchLimits): Promise<FoundSearch>
  /** Begins a grounded answer; what it generates is held to access checks, limits and caches. */
  answer(request: AnswerRequest, call: Call): Promise<AnswerStream>
  /** What a new collection is set to, with its embedder found. */
  newSettings(wanted: Partial<CollectionSettings>): Promise<CollectionSettings>
  /** The model that answers where none was named: one that the caller may use. */
  chatModel(principal: Principal): Promise<string>
  /** Removes all that is cached of what models said to a tenant, and the texts of its answers. */
  forgetTexts(tenant: string): Promise<void>
  /** Resolves when changes of assistants made here are known here. */
  assistantsKnown(): Promise<void>
}

export interface RagDeps {
  readonly service: RagService
  readonly database: Database
  readonly clock: Clock
  readonly newId: () => string
  readonly guard: Guard
  /** Reports a change that somebody made. */
  readonly onChange: (action: string, target: string, act: Act) => void
  /** Reports what somebody should look at, though it was done. */
  readonly onWarning: (message: string) => void
  readonly onBug: (error: unknown, told?: Told) => void
}
