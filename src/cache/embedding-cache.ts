/**
 * The cache of embeddings as a relay layer. A request is taken apart into its texts: each is looked for in memory, among those
 * that another request is getting, in the slower layers; the rest goes upstream in one request, each text once. A request of
 * which nothing is known goes on as it came, and its answer comes back as it came.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Relay, RelayLayer } from '../core/relay.ts'
import { unloads } from '../wire/keep-alive.ts'
import { isCloudModel } from '../wire/model-name.ts'
import type { Directives } from '../wire/cache-directives.ts'
import { bypassHeaders } from './answer-headers.ts'
import { circumstancesOf } from './circumstances.ts'
import { directivesOf, judgeAge } from './freshness.ts'
import type { EmbedAsker } from './embedding-asker.ts'
import { EmbedBatch, type EmbedWorks } from './embedding-batch.ts'
import { isIntactVector } from './embedding-entry.ts'
import { type EmbeddingCounters, newEmbeddingCounters, Reply } from './embedding-reply.ts'
import { type EmbedItem, readEmbedAsk } from './embedding-request.ts'
import { EmbedWork, fromStored, type Got } from './embedding-work.ts'
import { type Explanation, notCached } from './explain.ts'
import type { EntryStore } from './entry-store.ts'
import type { ScopeTable } from './key.ts'
import type { MemoryItem } from './memory-layer.ts'
import type { CacheOptions } from './options.ts'
import type { PlanDeps } from './plan.ts'
import { type BypassReason, chooseMode } from './policy.ts'
import type { FlightLease } from './second-layer.ts'
import { type ResolvedSelector, selects, type Tags } from './tags.ts'

export interface EmbeddingDeps extends PlanDeps {
  readonly options: () => CacheOptions
  readonly clock: Clock
  readonly store: EntryStore
  readonly scopes: ScopeTable
  /** Null: each replica asks upstream itself. */
  readonly lease: FlightLease | null
}

export class EmbeddingCache implements EmbedWorks {
  readonly counters: EmbeddingCounters = newEmbeddingCounters()
  readonly #deps: EmbeddingDeps
  readonly #reply: Reply
  /** Who is getting a text, by its key. */
  readonly #works = new Map<string, EmbedWork>()

  constructor(deps: EmbeddingDeps) {
    this.#deps = deps
    this.#reply = new Reply(deps.clock, this.counters)
  }

  readonly layer: RelayLayer = (next) => (request, call) => {
    const options = this.#deps.options()
    if (request.route.operation !== 'embed' || !options.enabled || !options.kinds.embedding) return next(request, call)
    const directives = directivesOf(request, options)
    const asked = this.#read(request, { call, directives, options })
    if (typeof asked === 'string') return this.#passBy(next, request, { call, directives, reason: asked })
    return this.#serve({ ...asked, next })
  }

  explain(request: InferenceRequest, call: Call): Explanation {
    const { store } = this.#deps
    const options = this.#deps.options()
    if (!options.enabled || !options.kinds.embedding) return notCached('off')
    const asked = this.#read(request, { call, directives: directivesOf(request, options), options })
    if (typeof asked === 'string') return notCached(asked)
    return { bypass: null, entries: asked.ask.items.map(({ key }) => ({ key, inMemory: store.peek(key) !== null })), parts: [] }
  }

  /** The request text by text, or why it passes by. */
  #read(
    request: InferenceRequest,
    { call, directives, options }: { readonly call: Call; readonly directives: Directives; readonly options: CacheOptions },
  ): Omit<EmbedAsker, 'next'> | BypassReason {
    const { secret, scopes, epochs, clock } = this.#deps
    if (directives.noStore) return 'no-store'
    const route = options.routes[request.route.pattern] ?? null
    const wishes = { request: directives.mode, credential: call.principal.cache, route, general: options.mode }
    if (chooseMode(wishes) === 'off') return 'off'
    const { model, envelope } = request
    if (model === null) return 'no-model'
    if (isCloudModel(model)) return 'cloud'
    if (envelope.empty) return 'empty'
    if (unloads(request)) return 'unload'
    if (request.body.length > options.bodyBytesMax) return 'too-large'
    const circumstances = circumstancesOf(this.#deps, model, call.principal)
    if (circumstances === null) return 'no-digest'
    const { digest, engine } = circumstances
    const tags: Tags = { tenant: call.tenant, kind: 'embedding', digest }
    const stamp = epochs.stampOf(tags)
    const scope = scopes.ofTenant(call.tenant)
    const ask = readEmbedAsk(request, { secret, scope, epochs, circumstances: [digest, engine, stamp] })
    if (ask === null) return 'unkeyable'
    const holds = (): boolean => stamp === epochs.stampOf(tags) && this.#deps.digestOf(model, call.principal.nodeGroup) === digest
    return { request, call, ask, tags, directives, options, startedAtMs: clock.nowMs(), holds }
  }

  #passBy(
    next: Relay,
    request: InferenceRequest,
    { call, directives, reason }: { readonly call: Call; readonly directives: Directives; readonly reason: BypassReason },
  ): Promise<Answer> {
    this.counters.bypasses += 1
    if (directives.onlyIfCached) return Promise.reject(cacheMiss(reason))
    call.progress.bypassHeaders = bypassHeaders(reason)
    return next(request, call)
  }

  #serve(asker: EmbedAsker): Promise<Answer> {
    const got = new Map<string, Got>()
    const missing = asker.directives.noCache ? asker.ask.items : asker.ask.items.filter((item) => !this.#fromMemory(asker, item, got))
    if (missing.length === 0) return this.#reply.hit(asker, got)
    if (asker.directives.onlyIfCached) return this.#onlyCached(asker, missing, got)
    return new EmbedBatch({ works: this, clock: this.#deps.clock, reply: this.#reply }, asker, got).gather(missing)
  }

  #fromMemory(asker: EmbedAsker, { key }: EmbedItem, got: Map<string, Got>): boolean {
    const item = this.#deps.store.peek(key)
    const one = item !== null && this.#usable(asker, item) ? fromStored({ item, layer: 'memory' }, asker.ask.form) : null
    if (one !== null) got.set(key, one)
    return one !== null
  }

  #usable({ directives, options }: EmbedAsker, { bornAtMs, expiresAtMs }: MemoryItem): boolean {
    const nowMs = this.#deps.clock.nowMs()
    return judgeAge(directives, { ageMs: nowMs - bornAtMs, freshForMs: expiresAtMs - nowMs }, options.staleMs) !== 'unusable'
  }

  /** Neither starts nor joins anything. */
  async #onlyCached(asker: EmbedAsker, missing: readonly EmbedItem[], got: Map<string, Got>): Promise<Answer> {
    const keys = asker.directives.noCache ? [] : missing.map(({ key }) => key)
    const all = await this.#deps.store.findMany(keys, { tags: asker.tags, isIntact: isIntactVector, bulk: false })
    for (const [key, found] of all ?? []) {
      const one = this.#usable(asker, found.item) ? fromStored(found, asker.ask.form) : null
      if (one !== null) got.set(key, one)
    }
    if (missing.some(({ key }) => !got.has(key))) throw cacheMiss('not every text is stored')
    return this.#reply.hit(asker, got)
  }

  of(key: string): EmbedWork | undefined {
    return this.#works.get(key)
  }

  start(
    asker: EmbedAsker,
    items: readonly EmbedItem[],
    { shared, looks }: { readonly shared: boolean; readonly looks: boolean },
  ): EmbedWork {
    const { store, clock, lease } = this.#deps
    const deps = {
      store,
      clock,
      lease,
      ttlMs: asker.options.ttlMs.embedding,
      holds: asker.holds,
      usable: looks ? (item: MemoryItem) => this.#usable(asker, item) : null,
      onUpstream: (texts: number) => {
        this.counters.upstream += 1
        this.counters.textsComputed += texts
      },
    }
    const work = new EmbedWork(deps, { ...asker, items })
    if (!shared) return work
    for (const { key } of items) if (!this.#works.has(key)) this.#works.set(key, work)
    void work.settled.then(() => this.#forget(work))
    return work
  }

  #forget(work: EmbedWork): void {
    for (const { key } of work.items) if (this.#works.get(key) === work) this.#works.delete(key)
  }

  /** Takes the works that a purge means out of reach; how many that were. */
  disown(selector: ResolvedSelector): number {
    const meant = new Set([...this.#works].filter(([key, { tags }]) => selects(selector, key, tags)).map(([, work]) => work))
    for (const work of meant) {
      work.disown()
      this.#forget(work)
    }
    return meant.size
  }

  get worksUnderWay(): number {
    return new Set(this.#works.values()).size
  }
}

function cacheMiss(why: string): CorralError {
  return new CorralError('cache_miss', `only a cached answer was wanted (only-if-cached), but: ${why}`)
}
