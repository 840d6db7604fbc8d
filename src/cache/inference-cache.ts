/**
 * The cache of chat and text answers as a relay layer: memory, then the answer under way, then slower layers, then upstream.
 * What cannot be cached passes by untouched but for three headers. A hit needs no promise but the one it returns.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Relay, RelayLayer } from '../core/relay.ts'
import type { Directives } from '../wire/cache-directives.ts'
import type { AnswerHost, Asker } from './asker.ts'
import { bypassHeaders, type ForwardReason, hitHeaders } from './answer-headers.ts'
import { count, type Counters, newCounters } from './counters.ts'
import { endsEarly } from './early-end.ts'
import { decodeEntry, encodeEntry, isIntact, noChunks } from './entry.ts'
import type { EntryStore, Found } from './entry-store.ts'
import { type Explanation, notCached } from './explain.ts'
import { Failures } from './failures.ts'
import { directivesOf, type EntryAge, judgeAge, mayStandIn } from './freshness.ts'
import type { ScopeTable } from './key.ts'
import type { MemoryItem } from './memory-layer.ts'
import type { CacheOptions } from './options.ts'
import type { Plan, Planner } from './plan.ts'
import { bypassReason, type BypassReason, chooseMode } from './policy.ts'
import { replay } from './replay.ts'
import { type RouteShape, shapeOf, slotOf } from './route-shape.ts'
import type { FlightLease } from './second-layer.ts'
import { SharedAnswer } from './shared-answer.ts'

export interface InferenceCacheDeps {
  readonly options: () => CacheOptions
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly store: EntryStore
  readonly planner: Planner
  readonly scopes: ScopeTable
  /** Null: each replica asks upstream itself. */
  readonly lease: FlightLease | null
}

/** How much later than the one it replaces a renewed entry of another layer ends at least. Layers tell times to some milliseconds. */
const renewedForMsMin = 1_000

export class InferenceCache implements AnswerHost {
  readonly deps: InferenceCacheDeps
  readonly counters: Counters = newCounters()
  readonly failures: Failures
  readonly #flights = new Map<string, SharedAnswer>()

  constructor(deps: InferenceCacheDeps) {
    this.deps = deps
    this.failures = new Failures(deps.clock)
  }

  readonly layer: RelayLayer = (next) => (request, call) => {
    const shape = shapeOf(request.route.pattern)
    const options = this.deps.options()
    if (shape === undefined || !options.enabled || !options.kinds.inference) return next(request, call)
    const directives = directivesOf(request, options)
    const plan = this.#planFor(request, call, { shape, directives, options })
    if (typeof plan === 'string') return this.#passBy(next, request, { call, directives, reason: plan })
    const slot = plan.key + slotOf(shape, request)
    return this.#serve(next, { request, call, shape, plan, directives, options, slot })
  }

  explain(request: InferenceRequest, call: Call): Explanation {
    const { options, planner, store } = this.deps
    const shape = shapeOf(request.route.pattern)
    if (shape === undefined) return notCached('route')
    if (!options().enabled || !options().kinds.inference) return notCached('off')
    const plan = this.#planFor(request, call, { shape, directives: directivesOf(request, options()), options: options() })
    if (typeof plan === 'string') return notCached(plan)
    const inMemory = store.peek(plan.key + slotOf(shape, request)) !== null
    return { bypass: null, entries: [{ key: plan.key, inMemory }], parts: planner.digestsOfParts(request) }
  }

  /** How the request is found, or why it passes by. */
  #planFor(
    request: InferenceRequest,
    call: Call,
    { shape, directives, options }: { readonly shape: RouteShape; readonly directives: Directives; readonly options: CacheOptions },
  ): Plan | BypassReason {
    if (directives.noStore) return 'no-store'
    const route = options.routes[request.route.pattern] ?? null
    const mode = chooseMode({ request: directives.mode, credential: call.principal.cache, route, general: options.mode })
    const reason = bypassReason(request, mode, options.bodyBytesMax)
    return reason ?? this.deps.planner.plan(request, shape, { scope: this.deps.scopes.ofTenant(call.tenant), principal: call.principal })
  }

  #passBy(
    next: Relay,
    request: InferenceRequest,
    { call, directives, reason }: { readonly call: Call; readonly directives: Directives; readonly reason: BypassReason },
  ): Promise<Answer> {
    count(this.counters.bypasses, reason)
    if (directives.onlyIfCached) return Promise.reject(cacheMiss(reason))
    call.progress.bypassHeaders = bypassHeaders(reason)
    return next(request, call)
  }

  #serve(next: Relay, asker: Asker): Promise<Answer> {
    const { directives, options, slot } = asker
    const held = directives.noCache ? null : this.held(asker)
    if (held !== null) {
      const freshness = judgeAge(directives, this.#age(held), options.staleMs)
      if (freshness === 'fresh' && this.#drawsRenewal(asker, held)) return this.#renew(next, asker, held)
      if (freshness !== 'unusable') return Promise.resolve(this.hit(asker, { item: held, layer: 'memory' }))
    }
    if (directives.onlyIfCached) return this.#onlyCached(asker)
    const failure = this.failures.get(slot)
    if (failure !== null) {
      this.counters.failedFast += 1
      return this.#standIn(asker, held, Promise.reject(failure))
    }
    const answered = this.#join(asker) ?? this.#start(next, asker, forwardReason(directives, held === null ? null : this.#age(held)))
    return this.#standIn(asker, held, answered)
  }

  /** Whether this asker makes anew what will end soon, while all others still get it: one at a time, and none right after a failure. */
  #drawsRenewal({ directives, options, slot }: Asker, held: MemoryItem): boolean {
    if (directives.onlyIfCached || !options.layers.flight) return false
    const drawn = endsEarly(this.#age(held), () => decodeEntry(held.bytes).originMs, this.deps.random)
    return drawn && !this.#flights.has(slot) && this.failures.get(slot) === null
  }

  /** Nothing that a slower layer holds will do unless it ends later. What is held answers when making it anew fails, if it still may. */
  #renew(next: Relay, asker: Asker, held: MemoryItem): Promise<Answer> {
    const minFreshSeconds = (this.#age(held).freshForMs + renewedForMsMin) / 1_000
    const wanting = { ...asker, directives: { ...asker.directives, minFreshSeconds } }
    const mayKeep = (): boolean => !asker.call.signal.aborted && this.#isFound(asker) && this.usable(asker, held)
    const kept = (): Answer => this.hit(asker, { item: held, layer: 'memory' })
    const renewed = this.#start(next, wanting, 'stale').then(
      (answer) => (answer.status >= 400 && mayKeep() ? kept() : answer),
      (thrown) => {
        if (!mayKeep()) throw thrown
        return kept()
      },
    )
    return this.#standIn(asker, held, renewed)
  }

  /** Whether what was found for the asker would still be: no purge meant it since, and the model is the same build. */
  #isFound({ plan, request }: Asker): boolean {
    return this.deps.planner.holds(plan, request.model)
  }

  /** What memory holds for the asker, whole answers added up from streams included. */
  held({ slot, shape, plan, request }: Asker): MemoryItem | null {
    const { store } = this.deps
    const item = store.peek(slot)
    if (item !== null || request.stream || shape.aggregate === null) return item
    const stream = store.peek(`${plan.key}s`)
    return stream === null ? null : this.addUp(slot, shape, stream)
  }

  /** The whole answer out of a stored stream, kept beside it; null when the stream lacks something of it. */
  addUp(slot: string, shape: RouteShape, stream: MemoryItem): MemoryItem | null {
    const answer = decodeEntry(stream.bytes)
    const body = shape.aggregate?.(answer.body) ?? null
    if (body === null) return null
    const contentType = answer.contentType.startsWith('application/x-ndjson') ? 'application/json; charset=utf-8' : 'application/json'
    const entry = encodeEntry({ ...answer, form: 'whole', contentType, body, chunks: noChunks })
    return this.deps.store.putDerived(slot, entry, stream)
  }

  #age({ bornAtMs, expiresAtMs }: MemoryItem): EntryAge {
    const nowMs = this.deps.clock.nowMs()
    return { ageMs: nowMs - bornAtMs, freshForMs: expiresAtMs - nowMs }
  }

  usable({ directives, options }: Asker, item: MemoryItem): boolean {
    return judgeAge(directives, this.#age(item), options.staleMs) !== 'unusable'
  }

  /** The answer out of an entry. */
  hit({ request, shape, options }: Asker, { item, layer }: Found): Answer {
    const answer = decodeEntry(item.bytes)
    count(this.counters.hits, layer)
    this.counters.tokensSaved += answer.usage?.outputTokens ?? 0
    const headers = hitHeaders(answer.contentType, { ...this.#age(item), detail: layer })
    return replay(
      { entry: item.bytes, answer, shape, request, headers },
      { clock: this.deps.clock, random: this.deps.random, ...options.replay },
    )
  }

  /** A slower layer's entry for the asker; null without a promise when none can be asked. */
  find(asker: Asker): Promise<Found | null> | null {
    const { slot, plan, shape, request } = asker
    const { store } = this.deps
    const found = store.find(slot, plan.tags, isIntact)
    if (found === null || request.stream || shape.aggregate === null) return found
    return found.then(async (whole) => {
      if (whole !== null) return whole
      const stream = await store.find(`${plan.key}s`, plan.tags, isIntact)
      const item = stream === null ? null : this.addUp(slot, shape, stream.item)
      return stream === null || item === null ? null : { item, layer: stream.layer }
    })
  }

  /** Neither starts nor joins anything. */
  async #onlyCached(asker: Asker): Promise<Answer> {
    const found = asker.directives.noCache ? null : await this.find(asker)
    if (found === null || !this.usable(asker, found.item)) throw cacheMiss('nothing fitting is stored')
    return this.hit(asker, found)
  }

  #join(asker: Asker): Promise<Answer> | null {
    if (asker.directives.noCache) return null
    return this.#flights.get(asker.slot)?.join(asker) ?? null
  }

  #start(next: Relay, asker: Asker, reason: ForwardReason): Promise<Answer> {
    const shared = new SharedAnswer(this, asker)
    const overtakes = this.#flights.get(asker.slot)?.isBehind(asker.call) === true
    if (asker.options.layers.flight) this.#flights.set(asker.slot, shared)
    return shared.start(next, asker, { reason, overtakes })
  }

  /** Takes a flight out of the map, unless a newer one is there. */
  forget(slot: string, shared: object): void {
    if (this.#flights.get(slot) === shared) this.#flights.delete(slot)
  }

  /** A stale entry instead of a failure, for a client that takes one as old as it is when the failure comes. */
  #standIn(asker: Asker, held: MemoryItem | null, answered: Promise<Answer>): Promise<Answer> {
    const { directives, options } = asker
    if (directives.staleIfErrorSeconds === null || held === null) return answered
    const mayServe = (): boolean => this.#isFound(asker) && mayStandIn(directives, this.#age(held), options.staleMs)
    return answered.then(
      (answer) => (answer.status >= 500 && mayServe() ? this.#stoodIn(asker, held) : answer),
      (thrown) => {
        if ((thrown instanceof CorralError && thrown.fault === 'client') || !mayServe()) throw thrown
        return this.#stoodIn(asker, held)
      },
    )
  }

  #stoodIn(asker: Asker, item: MemoryItem): Answer {
    this.counters.stoodIn += 1
    return this.hit(asker, { item, layer: 'stale-if-error' })
  }

  /** Takes the flights that a purge means out of reach: their results are not stored and nobody joins them. */
  disown(matches: (slot: string, plan: Plan) => boolean): number {
    let disowned = 0
    for (const [slot, shared] of this.#flights) {
      if (!matches(slot, shared.plan)) continue
      shared.disown()
      this.#flights.delete(slot)
      disowned += 1
    }
    return disowned
  }

  get flightsUnderWay(): number {
    return this.#flights.size
  }
}

function forwardReason(directives: Directives, age: EntryAge | null): ForwardReason {
  if (directives.noCache) return 'request'
  if (age === null) return 'miss'
  return age.freshForMs <= 0 ? 'stale' : 'request'
}

function cacheMiss(why: string): CorralError {
  return new CorralError('cache_miss', `only a cached answer was wanted (only-if-cached), but: ${why}`)
}
