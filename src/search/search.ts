/**
 * One search from request to answer: both legs, their fusion, the chunks that stand for something of their own, what stands around them, and
 * the optional reranking. A leg that was asked for and could not be had is told in `degraded`; the embedder being down is never an error.
 */
import type { Clock } from '../base/clock.ts'
import { type Embed, type SearchAnswer, searchedCollectionsMax, type SearchHit, type SearchRequest } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import type { Database } from '../store/database.ts'
import { FilterMemory } from './filter-allowed.ts'
import { fuse, type FusedHit, legDepth } from './fuse.ts'
import { MeasuredCost } from './measured-cost.ts'
import { type AskModel, rerank, rerankPassagesMax } from './rerank.ts'
import { type LegResults, readKey, runLegs } from './search-legs.ts'
import { finishHits, readFound } from './search-results.ts'
import { neighboursMax, passageCharacters } from './widen.ts'

export const searchLimitMax = 100
export const queryCharactersMax = 4_000
/** Cosines lie in a leg's own order: by vectors alone the fused score is the scaled cosine. */
const vectorsOnly = 1

/** What one process remembers between searches. */
export interface SearchMemory {
  readonly costs: MeasuredCost
  readonly filters: FilterMemory
}

export function createSearchMemory(): SearchMemory {
  return { costs: new MeasuredCost(), filters: new FilterMemory() }
}

export interface SearchDeps {
  readonly database: Database
  readonly clock: Clock
  /** Null: no fleet to embed with. */
  readonly embed: Embed | null
  /** Null: no model to rerank with. */
  readonly ask: AskModel | null
  readonly memory: SearchMemory
  readonly signal: AbortSignal
  /** Milliseconds after which the query's vector is not waited for. */
  readonly embedMs: number
  /** On the clock's `nowMs`: when the answer has to be there. What may be left out gets a share of the time that is left. */
  readonly endsAtMs: number
}

/**
 * Searches. Throws `invalid_request`, `collection_not_found`, what the store throws when words cannot be looked up, and whatever
 * the caller aborted `signal` with.
 */
export async function search(request: SearchRequest, deps: SearchDeps): Promise<SearchAnswer> {
  checkRequest(request)
  const { database, clock, signal, memory, embed, embedMs, endsAtMs } = deps
  const startedMs = clock.nowMs()
  const depth = Math.min(Math.max(request.limit * legDepth.perResult, legDepth.min), legDepth.max)
  const legs = await runLegs(request, { database, clock, embed, embedMs, ...memory }, { depth, signal, endsAtMs })
  signal.throwIfAborted()
  const fuseStartedMs = clock.nowMs()
  const fused = fuseLegs(request, legs)
  const isReranked = request.reranker !== null && deps.ask !== null
  const wanted = isReranked ? Math.max(request.limit, rerankPassagesMax) : request.limit
  const found = await readFound(database, fused, { request, collections: legs.collections, wanted })
  const hits = await finishHits(database, found, { request, terms: legs.terms, lacking: legs.lacking })
  const rerankStartedMs = clock.nowMs()
  const { ordered, note } = await reranked(request, hits, deps)
  const endedMs = clock.nowMs()
  return {
    results: ordered.slice(0, request.limit),
    facets: legs.facets,
    timings: {
      embedMs: legs.embedMs,
      keywordMs: legs.keywordMs,
      vectorMs: legs.vectorMs,
      fuseMs: rerankStartedMs - fuseStartedMs,
      rerankMs: endedMs - rerankStartedMs,
      totalMs: endedMs - startedMs,
    },
    degraded: degradedBy([...legs.reasons, ...(note === null ? [] : [note])]),
    versions: Object.fromEntries(legs.collections.map(({ name, version }) => [name, version])),
    ...(request.explain ? { explain: [...legs.why, fusionWhy(request, legs), ...rerankWhy(request, hits, note)] } : {}),
  }
}

function checkRequest(request: SearchRequest): void {
  const { collections, query, limit, tenant } = request
  if (tenant === '') throw new Error('a search of no tenant')
  if (collections.length === 0 || collections.length > searchedCollectionsMax) {
    throw invalid(`1 to ${searchedCollectionsMax} collections are searched at once, not ${collections.length}`)
  }
  if (new Set(collections).size < collections.length) throw invalid('a collection is named twice')
  if (query.trim() === '') throw invalid('the query is empty')
  if (query.length > queryCharactersMax) throw invalid(`a query has at most ${queryCharactersMax} characters, this one ${query.length}`)
  if (!Number.isInteger(limit) || limit < 1 || limit > searchLimitMax) throw invalid(`limit is 1 to ${searchLimitMax}, not ${limit}`)
  checkWidening(request)
}

function checkWidening({ neighbours, section, passageCharacters: characters = passageCharacters.default }: SearchRequest): void {
  if (!Number.isInteger(neighbours) || neighbours < 0 || neighbours > neighboursMax)
    throw invalid(`neighbours is 0 to ${neighboursMax}, not ${neighbours}`)
  if (section && neighbours > 0) throw invalid('give neighbours or section, not both')
  if (!Number.isInteger(characters) || characters < 1 || characters > passageCharacters.max)
    throw invalid(`passageCharacters is 1 to ${passageCharacters.max}, not ${characters}`)
}

function invalid(message: string): CorralError {
  return new CorralError('invalid_request', `search: ${message}`)
}

/** What has no vector keeps its place by words: its weight is theirs alone. By vectors alone, words stand in only there. */
function fuseLegs(request: SearchRequest, { collections, keyword, vector, lacking }: LegResults): FusedHit[] {
  const places = new Set(vector.map(({ key }) => readKey(key).place))
  const isByWords = (key: string): boolean => !places.has(readKey(key).place) || lacking.has(key)
  const weightOf = (key: string): number => {
    if (isByWords(key)) return 0
    if (request.mode === 'vector') return vectorsOnly
    return request.fusionWeight ?? collections[readKey(key).place]?.settings.fusionWeight ?? 0
  }
  const words = request.mode === 'vector' ? keyword.filter(({ key }) => isByWords(key)) : keyword
  return fuse({ keyword: words, vector }, weightOf, keyword)
}

function fusionWhy(request: SearchRequest, { collections, keyword, vector }: LegResults): string {
  const weights = collections.map(({ name, settings }) => `${name} ${request.fusionWeight ?? settings.fusionWeight}`)
  return `fused ${keyword.length} by words and ${vector.length} by vectors, convex sum of scaled scores, share of the vectors: ${weights.join(', ')}`
}

function rerankWhy({ reranker }: SearchRequest, { length }: readonly SearchHit[], note: string | null): readonly string[] {
  if (reranker === null) return []
  if (note !== null) return [note]
  if (length < 2) return ['not reranked: fewer than two were found']
  return [`the best ${Math.min(length, rerankPassagesMax)} ordered again by ${reranker}`]
}

function degradedBy(reasons: readonly string[]): { readonly reason: string } | null {
  return reasons.length === 0 ? null : { reason: [...new Set(reasons)].join('; ') }
}

async function reranked(
  { reranker: model, tenant, query }: SearchRequest,
  hits: readonly SearchHit[],
  { ask, clock, signal, endsAtMs }: SearchDeps,
): Promise<{ readonly ordered: readonly SearchHit[]; readonly note: string | null }> {
  if (model === null || hits.length < 2) return { ordered: hits, note: null }
  if (ask === null) return { ordered: hits, note: 'not reranked: there is no fleet to ask' }
  const passages = hits.map(({ chunk }) => chunk.text)
  const { order, note } = await rerank({ model, tenant, query, passages, signal, endsAtMs }, { ask, clock })
  if (note !== null) return { ordered: hits, note }
  const ordered = order.flatMap((at, place) => {
    const hit = hits[at]
    return hit === undefined ? [] : [{ ...hit, scores: { ...hit.scores, rerank: 1 - place / order.length } }]
  })
  return { ordered, note: null }
}
