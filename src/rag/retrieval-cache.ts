/**
 * Searches that were made before, by everything they depend on: the request, and the versions of its collections as committed *before* it is looked
 * up (caching.md §2.6). An edit makes another key, so nothing found here is older than the last write that was acknowledged.
 */
import { createHmac } from 'node:crypto'

import type { SearchLimits } from '../answer/retrieval.ts'
import type { Clock } from '../base/clock.ts'
import { shareOfTime, within } from '../base/within.ts'
import { keepingOf } from '../cache/keeping.ts'
import type { Cache } from '../cache/layer.ts'
import type { CacheOptions } from '../cache/options.ts'
import type { Call } from '../core/call.ts'
import type { SearchAnswer, SearchRequest } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'

export interface FoundAnswer extends SearchAnswer {
  /** True: nothing was looked up for it. */
  readonly cached: boolean
  /** `bypass`: it is neither kept nor looked for. */
  readonly cacheRole: 'hit' | 'miss' | 'bypass'
}

export interface RetrievalCacheDeps {
  readonly store: Cache['store']
  readonly epochs: Cache['epochs']
  readonly options: () => CacheOptions
  readonly secret: Buffer
  readonly clock: Clock
  readonly versions: (tenant: string, names: readonly string[]) => Promise<Readonly<Record<string, number>>>
  readonly digestOf: (model: string, group: string | null) => string | null
  /** Of the embedders of these collections, as of the last read of versions: another build finds other things. */
  readonly embedderState: (tenant: string, names: readonly string[]) => string
  readonly onTrouble: (message: string, cause: unknown) => void
}

interface Kept {
  readonly answer: SearchAnswer
  /** It ends soon, and this caller is to make it anew. */
  readonly isDrawn: boolean
}

/** How a search is made: its signal, and until when. */
export type Look = (limits: Pick<SearchLimits, 'signal' | 'endsAtMs'>) => Promise<SearchAnswer>

/** Part of the time that is left in which a kept answer may be made anew: it is at hand when that fails. */
const renewalShare = 0.5

/** Raised when what is stored changes. */
const schema = 2

export class RetrievalCache {
  readonly #deps: RetrievalCacheDeps

  constructor(deps: RetrievalCacheDeps) {
    this.#deps = deps
  }

  /** The kept answer to `request`, or that of `look`, which is then kept. Throws `cache_miss` where only a kept one was wanted. */
  async through(request: SearchRequest, asked: SearchLimits, look: Look): Promise<FoundAnswer> {
    const { call, headers, route } = asked
    const keeping = keepingOf({ headers, route, credential: call.principal.cache }, this.#deps.options())
    const key = keeping.keeps ? await this.#keyFor(request, call) : null
    const kept = key !== null && keeping.reads ? await this.#read(key, request.tenant, !keeping.onlyKept) : null
    if (kept !== null && !kept.isDrawn) return hitOf(kept)
    if (keeping.onlyKept) throw new CorralError('cache_miss', 'only a cached search was wanted (only-if-cached), and there is none')
    if (kept === null) return this.#made(key, request, await look(asked))
    const renewed = await this.#renewed(look, asked)
    return renewed === null ? hitOf(kept) : this.#made(key, request, renewed)
  }

  /** A new answer, which is kept where it may be. */
  #made(key: string | null, request: SearchRequest, found: SearchAnswer): FoundAnswer {
    if (key === null) return { ...found, cached: false, cacheRole: 'bypass' }
    if (found.degraded === null) this.#keep(key, request.tenant, found)
    return { ...found, cached: false, cacheRole: 'miss' }
  }

  /** Null: not to be kept, or a collection is unknown, which the search itself tells of. */
  async #keyFor(request: SearchRequest, { principal }: Call): Promise<string | null> {
    const { options, epochs, versions, digestOf, embedderState, secret, onTrouble } = this.#deps
    if (!options().kinds.retrieval || request.explain) return null
    const stamp = epochs.stampOf(tagsOf(request.tenant))
    try {
      const known = await versions(request.tenant, request.collections)
      if (request.collections.some((name) => known[name] === undefined)) return null
      const { reranker } = request
      const judge = reranker === null ? null : digestOf(reranker, principal.nodeGroup)
      const state = embedderState(request.tenant, request.collections)
      const parts = [schema, request, request.collections.map((name) => [name, known[name]]), state, judge]
      return epochs.keyFor(createHmac('sha256', secret).update(JSON.stringify(parts)).digest('hex'), stamp)
    } catch (error) {
      onTrouble('versions of collections could not be read', error)
      return null
    }
  }

  async #read(key: string, tenant: string, mayRenew: boolean): Promise<Kept | null> {
    const isIntact = (entry: Buffer): boolean => decode(entry) !== null
    const read = await this.#deps.store.read(key, tagsOf(tenant), { isIntact, mayRenew })
    const answer = read === null ? null : decode(read.bytes)
    return read === null || answer === null ? null : { answer, isDrawn: read.isDrawn }
  }

  /** What takes the place of a kept answer that ends soon; null: it did not come whole, and the kept one will do. */
  async #renewed(look: Look, { call, signal, endsAtMs }: SearchLimits): Promise<SearchAnswer | null> {
    const { clock } = this.#deps
    const limitMs = shareOfTime(endsAtMs, clock.nowMs(), { share: renewalShare, msMax: Number.POSITIVE_INFINITY })
    const late = (): Error => new CorralError('store_timeout', `a search was not made anew within ${Math.round(limitMs)} ms`)
    try {
      const found = await within({ limitMs, clock, signal, late }, (inTime) => look({ signal: inTime, endsAtMs: clock.nowMs() + limitMs }))
      return found.degraded === null ? found : null
    } catch (error) {
      if (call.signal.aborted || signal.aborted) throw error
      this.#deps.onTrouble('a search could not be made anew', error)
      return null
    }
  }

  #keep(key: string, tenant: string, found: SearchAnswer): void {
    const { store, options } = this.#deps
    const bytes = Buffer.from(JSON.stringify(found))
    const { entryBytesMax, ttlMs } = options()
    if (bytes.length > entryBytesMax) return
    store.put(key, bytes, { tags: tagsOf(tenant), ttlMs: ttlMs.retrieval, originMs: found.timings.totalMs, replaces: true })
  }
}

function hitOf({ answer }: Kept): FoundAnswer {
  return { ...answer, cached: true, cacheRole: 'hit' }
}

function tagsOf(tenant: string) {
  return { tenant, kind: 'retrieval', digest: '' } as const
}

/** Keys are signed, so what lies under one was written by us. */
function decode(bytes: Buffer): SearchAnswer | null {
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return null
  }
}
