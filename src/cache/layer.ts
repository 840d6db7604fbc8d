/**
 * The caches as the rest of the program sees them: the relay layer, purging, figures, explanations. One store of entries for
 * all kinds; each kind brings its identity, its codec and its rules.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import type { InferenceRequest, RelayLayer } from '../core/relay.ts'
import type { CircumstanceDeps } from './circumstances.ts'
import type { Counters } from './counters.ts'
import { EmbeddingCache } from './embedding-cache.ts'
import type { EmbeddingCounters } from './embedding-reply.ts'
import { EntryStore, type LookupListener } from './entry-store.ts'
import { EpochSync } from './epoch-sync.ts'
import { Epochs, type EpochStore } from './epochs.ts'
import { type Explanation, noteEntries } from './explain.ts'
import { InferenceCache } from './inference-cache.ts'
import { ScopeTable } from './key.ts'
import type { CacheOptions } from './options.ts'
import { Planner } from './plan.ts'
import type { FlightLease, SecondLayer } from './second-layer.ts'
import { type PurgeSelector, type ResolvedSelector, selects } from './tags.ts'

export interface CacheDeps extends CircumstanceDeps {
  readonly options: () => CacheOptions
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  /** Keys the HMAC behind all cache keys; entries outlive this process only where it does. */
  readonly secret: Buffer
  /** All digests that nodes have of a model, by canonical name. */
  readonly digestsOf: (model: string) => readonly string[]
  /** From the nearest to the slowest. */
  readonly layers?: readonly SecondLayer[]
  /** One upstream call over all replicas; needs a layer that they share. */
  readonly lease?: FlightLease
  /** Needed as soon as a layer outlives this process. */
  readonly epochStore?: EpochStore
}

export interface PurgeResult {
  readonly dryRun: boolean
  /** Entries of memory that were meant. */
  readonly memory: number
  /** Answers under way that were meant: they reach who waits and are not stored. */
  readonly flights: number
  /** Entries deleted in the slower layers, by name; null where unknown. Empty in a dry run. */
  readonly layers: Readonly<Record<string, number | null>>
  /** Whether the replicas of this store were told (true without a store). Else they hear of it at the next poll that succeeds. */
  readonly shared: boolean
}

export type CacheStats = Counters & EntryStore['stats'] & { readonly flightsUnderWay: number; readonly embedding: EmbeddingCounters }

export interface Cache {
  readonly layer: RelayLayer
  /** For kinds beside inference: entries, scopes, epochs. */
  readonly store: EntryStore
  readonly scopes: ScopeTable
  readonly epochs: Epochs
  /** Loads the shared epochs and follows them. Until they are known no slower layer is trusted; rejects when a database cannot tell them. */
  start(): Promise<void>
  purge(selector: PurgeSelector, how: { readonly dryRun: boolean }): Promise<PurgeResult>
  stats(): CacheStats
  /** From now on `listener` hears how long each lookup in a slower layer took. */
  watchLookups(listener: LookupListener): void
  /** Where a request is looked for, which calls that ask why are told by the layer. Looks nothing up. */
  explain(request: InferenceRequest, call: Call): Explanation
  /** Resolves when all queued writes are through. */
  idle(): Promise<void>
  close(): Promise<void>
}

export function createCache(deps: CacheDeps): Cache {
  return new Caches(deps)
}

class Caches implements Cache {
  readonly store: EntryStore
  readonly scopes: ScopeTable
  readonly epochs = new Epochs()
  readonly layer: RelayLayer
  readonly #deps: CacheDeps
  readonly #inference: InferenceCache
  readonly #embedding: EmbeddingCache
  readonly #sync: EpochSync

  constructor(deps: CacheDeps) {
    const { clock, random, options, secret } = deps
    this.#deps = deps
    this.scopes = new ScopeTable(secret)
    const { layers: flags, memoryBytes, memoryShares, staleMs } = options()
    const budgetBytes = flags.memory ? memoryBytes : 0
    this.store = new EntryStore({ clock, random, memory: { budgetBytes, shares: memoryShares }, staleMs, layers: deps.layers ?? [] })
    const onKnown = (): void => this.store.open()
    this.#sync = new EpochSync({ epochs: this.epochs, store: deps.epochStore ?? null, clock, random, onKnown })
    const planner = new Planner({ secret, epochs: this.epochs, digestOf: deps.digestOf, engineEpoch: deps.engineEpoch })
    const { store, scopes } = this
    const lease = deps.lease ?? null
    this.#inference = new InferenceCache({ options, clock, random, store, planner, scopes, lease })
    const { epochs } = this
    const { digestOf, engineEpoch } = deps
    this.#embedding = new EmbeddingCache({ secret, epochs, digestOf, engineEpoch, options, clock, store, scopes, lease })
    this.layer = (next) => {
      const inference = this.#inference.layer(next)
      const embedding = this.#embedding.layer(next)
      return (request, call) => {
        const { explanation } = call
        if (explanation !== null) noteEntries(explanation, request, { told: this.explain(request, call), nowMs: clock.nowMs() })
        return (request.route.operation === 'embed' ? embedding : inference)(request, call)
      }
    }
  }

  start(): Promise<void> {
    return this.#sync.start()
  }

  async purge(selector: PurgeSelector, { dryRun }: { readonly dryRun: boolean }): Promise<PurgeResult> {
    const results: PurgeResult[] = []
    for (const resolved of this.#resolve(selector)) results.push(await this.#purgeOne(resolved, dryRun))
    return wholePurge(results)
  }

  async #purgeOne(resolved: ResolvedSelector, dryRun: boolean): Promise<PurgeResult> {
    if (dryRun) {
      const memory = this.store.purgeMemory(resolved, { countOnly: true })
      return { dryRun, memory, flights: 0, layers: {}, shared: true }
    }
    const shared = await this.#sync.raise(this.epochs.nameFor(resolved))
    const flights = this.#inference.disown((slot, { tags }) => selects(resolved, slot, tags)) + this.#embedding.disown(resolved)
    const memory = this.store.purgeMemory(resolved, { countOnly: false })
    const layers = await this.store.purgeSlower(resolved)
    return { dryRun, memory, flights, layers, shared }
  }

  /** One per build of the model: groups of nodes may have different ones. */
  #resolve({ tenant, kind, model, key }: PurgeSelector): readonly ResolvedSelector[] {
    const known = model === undefined ? [] : this.#deps.digestsOf(model)
    const digests = model === undefined ? [null] : known.length === 0 ? [model] : known
    return digests.map((digest) => ({ tenant: tenant ?? null, kind: kind ?? null, digest, key: key ?? null }))
  }

  stats(): CacheStats {
    return {
      ...this.#inference.counters,
      ...this.store.stats,
      flightsUnderWay: this.#inference.flightsUnderWay + this.#embedding.worksUnderWay,
      embedding: this.#embedding.counters,
    }
  }

  watchLookups(listener: LookupListener): void {
    this.store.watchLookups(listener)
  }

  explain(request: InferenceRequest, call: Call): Explanation {
    return (request.route.operation === 'embed' ? this.#embedding : this.#inference).explain(request, call)
  }

  idle(): Promise<void> {
    return this.store.idle()
  }

  async close(): Promise<void> {
    this.#sync.close()
    this.#deps.lease?.close?.()
    await this.store.close()
  }
}

/** Several purges as one, of which none was a trial or all were. */
export function wholePurge(results: readonly PurgeResult[]): PurgeResult {
  const layers: Record<string, number | null> = {}
  for (const result of results) {
    for (const [name, count] of Object.entries(result.layers)) {
      const before = layers[name]
      layers[name] = before === null || count === null ? null : (before ?? 0) + count
    }
  }
  return {
    dryRun: results.every(({ dryRun }) => dryRun),
    memory: results.reduce((sum, { memory }) => sum + memory, 0),
    flights: results.reduce((sum, { flights }) => sum + flights, 0),
    layers,
    shared: results.every(({ shared }) => shared),
  }
}
