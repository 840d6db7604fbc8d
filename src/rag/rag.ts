/**
 * The RAG half put together: documents in, search, grounded answers, assistants. It stands on a database and on the gateway's own relay, and
 * holds no rule of its own but who is handed to whom. What runs in the background begins with `start`, once the schema is there.
 */
import { createHmac } from 'node:crypto'

import type { AnswerOptions } from '../answer/options.ts'
import { answer, type AnswerDeps, type AnswerRequest } from '../answer/answer.ts'
import { AssistantRegistry } from '../answer/assistant-registry.ts'
import { AssistantStore } from '../answer/assistant-store.ts'
import { grounded, type GroundedDeps } from '../answer/grounded.ts'
import type { AnswerStream } from '../answer/answer-stream.ts'
import { TokenBudgets } from '../answer/token-budget.ts'
import type { Clock } from '../base/clock.ts'
import type { Cache } from '../cache/layer.ts'
import type { CacheOptions } from '../cache/options.ts'
import type { Call } from '../core/call.ts'
import type { CollectionSettings, Embed, SearchAnswer, SearchRequest } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import type { Relay, RelayLayer } from '../core/relay.ts'
import { heldVectors } from '../ingest/documents-stored.ts'
import { systemResolve } from '../ingest/fetch-url-address.ts'
import { fetchUrl } from '../ingest/fetch-url.ts'
import { Ingest } from '../ingest/ingest.ts'
import type { IngestOptions } from '../ingest/job-options.ts'
import { DocumentParser } from '../ingest/parser-process-pool.ts'
import { TokenEstimates } from '../ingest/token-estimate.ts'
import type { FolderWatch } from '../ingest/watch.ts'
import { getCollections } from '../search/collections.ts'
import { deleteDocument } from '../search/delete-document.ts'
import { autoEmbedder, newCollectionSettings, type SearchOptions } from '../search/options.ts'
import { createSearchMemory, search } from '../search/search.ts'
import { deleteVectors, writeVectors } from '../search/vector-write.ts'
import { writeDocument } from '../search/write-document.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Database } from '../store/database.ts'
import { createAnswerStore } from './answer-store.ts'
import { createFleetCalls, type FleetCalls } from './fleet-calls.ts'
import { ModelFacts } from './model-facts.ts'
import { RagMetrics } from './rag-metrics.ts'
import { Upkeep } from './upkeep.ts'
import { watchFolders } from './watched-folders.ts'

export interface RagOptions {
  readonly ingest: IngestOptions
  readonly search: SearchOptions
  readonly answer: AnswerOptions
  readonly cache: CacheOptions
}

export interface RagParts {
  readonly options: () => RagOptions
  readonly database: Database
  readonly cache: Cache
  readonly metrics: Metrics
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly newId: () => string
  readonly secret: Buffer
  /** The relay from inside of access checks and limits; outside of the caches. */
  readonly relay: Relay
  /** Milliseconds a request may wait for its first frame. */
  readonly deadlineMs: () => number
  readonly fleet: {
    readonly digestOf: (model: string, group: string | null) => string | null
    readonly names: () => readonly string[]
    readonly isLoaded: (model: string) => boolean
  }
  readonly onTrouble: (message: string, cause: unknown) => void
  /** Left out: public ones only. Tests let the loopback in. */
  readonly isAllowedAddress?: (address: string) => boolean
}

export interface Rag {
  readonly ingest: Ingest
  readonly assistants: AssistantStore
  readonly models: ModelFacts
  /** Answers for assistants; to stand inside of access checks and outside of limits and caches. */
  readonly layer: RelayLayer
  /** Searches in the name of `call`. */
  search(request: SearchRequest, limits: { readonly signal: AbortSignal; readonly call: Call }): Promise<SearchAnswer>
  /** A grounded answer; `relay` generates it, from inside of access checks. */
  answer(request: AnswerRequest, call: Call, relay: Relay): Promise<AnswerStream>
  /** What a new collection is set to, with its embedder found. Throws `invalid_request` for an embedder that no node has. */
  newSettings(wanted: Partial<CollectionSettings>): Promise<CollectionSettings>
  /** Removes what was made from documents of a tenant: `kept` answers, or all that models said too. */
  forget(tenant: string, what: 'answers' | 'generations'): Promise<void>
  /** Resolves when changes of assistants made here are known here. */
  assistantsKnown(): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

export function createRag(parts: RagParts): Rag {
  return new RagHalf(parts)
}

class RagHalf implements Rag {
  readonly ingest: Ingest
  readonly assistants: AssistantStore
  readonly models: ModelFacts
  readonly layer: RelayLayer
  readonly #parts: RagParts
  readonly #calls: FleetCalls
  readonly #memory = createSearchMemory()
  readonly #registry: AssistantRegistry
  readonly #parser: DocumentParser
  readonly #upkeep: Upkeep
  readonly #metrics: RagMetrics
  readonly #answering: Omit<AnswerDeps, 'relay'>
  #folders: readonly FolderWatch[] = []

  constructor(parts: RagParts) {
    const { options, database, clock, onTrouble } = parts
    this.#parts = parts
    const { digestOf } = parts.fleet
    this.#calls = createFleetCalls({ ...parts, digestOf })
    this.models = new ModelFacts({ ...parts.fleet, show: (model) => this.#calls.show(model), onTrouble })
    this.assistants = new AssistantStore({ database, clock, onChanged: () => void this.#registry.refresh() })
    this.#registry = new AssistantRegistry({ store: this.assistants, clock, onTrouble })
    this.#parser = new DocumentParser({
      clock,
      processes: options().ingest.parsers,
      limits: { sourceBytes: options().ingest.sourceBytesMax },
    })
    this.#metrics = new RagMetrics(parts.metrics, database)
    this.ingest = this.#createIngest()
    this.#upkeep = new Upkeep({
      database,
      clock,
      everyMs: () => options().search.upkeepMs,
      newSuffix: () =>
        Math.floor(parts.random() * 2 ** 32)
          .toString(16)
          .padStart(8, '0'),
      also: () => this.#metrics.readJobs(),
      onTrouble,
    })
    this.#answering = {
      options: () => options().answer,
      clock,
      search: (request, limits) => this.search(request, limits),
      digestOf,
      contextOf: (model) => this.models.contextOf(model),
      budgets: new TokenBudgets(),
      answers: createAnswerStore({ store: parts.cache.store, options: () => options().cache, clock }),
      secret: createHmac('sha256', parts.secret).update('corral answers').digest(),
      versions: (tenant, names) => readVersions(database, tenant, names),
      onAnswered: (finished) => this.#metrics.answered(finished),
      onTrouble,
    }
    this.layer = grounded({ ...this.#answering, assistants: this.#registry } satisfies GroundedDeps)
  }

  #createIngest(): Ingest {
    const { options, database, clock, random, onTrouble, isAllowedAddress } = this.#parts
    const allowed = isAllowedAddress === undefined ? {} : { isAllowedAddress }
    return new Ingest({
      database,
      clock,
      random,
      options: () => options().ingest,
      estimates: new TokenEstimates(),
      parse: ({ bytes, name, declaredType }, { signal }) => this.#parser.parse({ content: { bytes }, name, declaredType }, { signal }),
      fetchSource(url, { signal }) {
        if (!options().ingest.urls) throw new CorralError('operation_disabled', 'documents by URL are switched off (ingest.urls)')
        return fetchUrl(url, { clock, resolve: systemResolve, signal, ...allowed })
      },
      embed: this.#calls.embed,
      writeDocument: (transaction, write) => writeDocument(transaction, write, writeVectors),
      deleteDocument: (transaction, place) => deleteDocument(transaction, place, deleteVectors),
      heldVectors,
      contextTokens: (model) => this.models.contextTokens(model),
      onTrouble: (error) => onTrouble('ingest', error),
    })
  }

  async search(request: SearchRequest, { signal, call }: { readonly signal: AbortSignal; readonly call: Call }): Promise<SearchAnswer> {
    const { database, clock, options } = this.#parts
    const { embed, ask } = this.#calls.of(call)
    const inTime: Embed = (texts, wish) => within(options().search.embedMs, { clock, wish }, (limited) => embed(texts, limited))
    try {
      const found = await search(request, { database, clock, embed: inTime, ask, memory: this.#memory, signal })
      this.#metrics.searched(request, found)
      return found
    } catch (error) {
      this.#metrics.searchFailed(request)
      throw error
    }
  }

  answer(request: AnswerRequest, call: Call, relay: Relay): Promise<AnswerStream> {
    return answer(request, call, { ...this.#answering, relay })
  }

  async newSettings(wanted: Partial<CollectionSettings>): Promise<CollectionSettings> {
    const settings = newCollectionSettings(this.#parts.options().search, wanted)
    const { embedder } = settings
    if (embedder === autoEmbedder) return { ...settings, embedder: await this.models.anyEmbedder() }
    if (embedder !== null && this.#parts.fleet.digestOf(embedder, null) === null) {
      throw new CorralError(
        'invalid_request',
        `no node has the embedder ${embedder}: pull it with "corral models pull ${embedder}", name another, or take null to search by words only`,
      )
    }
    return settings
  }

  async forget(tenant: string, what: 'answers' | 'generations'): Promise<void> {
    const { cache } = this.#parts
    await cache.purge({ tenant, kind: 'answer' }, { dryRun: false })
    if (what === 'generations') await cache.purge({ tenant, kind: 'inference' }, { dryRun: false })
  }

  assistantsKnown(): Promise<void> {
    return this.#registry.idle()
  }

  async start(): Promise<void> {
    const { database, clock, options, newId, onTrouble } = this.#parts
    await this.#registry.start()
    this.ingest.start()
    this.#upkeep.start()
    const newSettings = (): Promise<CollectionSettings> => this.newSettings({})
    this.#folders = await watchFolders({ database, clock, ingest: this.ingest, options: options().ingest, newId, newSettings, onTrouble })
  }

  async close(): Promise<void> {
    await Promise.all(this.#folders.map((folder) => folder.close()))
    await this.ingest.close()
    await Promise.all([this.#upkeep.close(), this.#registry.close(), this.#parser.close()])
  }
}

async function readVersions(database: Database, tenant: string, names: readonly string[]): Promise<Readonly<Record<string, number>>> {
  const collections = await database.tx({ tenant }, (transaction) => getCollections(transaction, { tenant, names }), { readOnly: true })
  return Object.fromEntries(collections.map(({ name, version }) => [name, version]))
}

/** Runs `work` with a signal that also ends after `limitMs`, as a `node_timeout`. */
async function within<Wish extends { readonly signal: AbortSignal }, T>(
  limitMs: number,
  { clock, wish }: { readonly clock: Clock; readonly wish: Wish },
  work: (wish: Wish) => Promise<T>,
): Promise<T> {
  const limit = new AbortController()
  const timer = clock.after(limitMs, () => limit.abort(new CorralError('node_timeout', `no embedding within ${limitMs} ms`)))
  try {
    return await work({ ...wish, signal: AbortSignal.any([wish.signal, limit.signal]) })
  } catch (error) {
    if (limit.signal.aborted && !wish.signal.aborted) throw limit.signal.reason
    throw error
  } finally {
    timer.cancel()
  }
}
