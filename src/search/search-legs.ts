/**
 * Runs the two legs of a search at the same time: versions, filters, facets and the keyword leg in one transaction; the query's vector, then
 * the vector leg in another. Versions are read before anything is looked up. What keeps the vector leg from answering becomes a reason, never
 * an error: the answer then goes by words.
 */
import type { Clock } from '../base/clock.ts'
import { shareOfTime, within } from '../base/within.ts'
import type { Collection, Embed, SearchRequest } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import { type Database, goingOn, type Transaction } from '../store/database.ts'
import { getCollections } from './collections.ts'
import { countFacets, type Facets } from './facets.ts'
import { allowedNumbers, type FilterMemory } from './filter-allowed.ts'
import type { LegHit } from './fuse.ts'
import { searchKeyword } from './keyword.ts'
import type { MeasuredCost } from './measured-cost.ts'
import { numbersWithoutVector, searchVectors } from './vector.ts'
import { type VectorSet, vectorIndexSettings, vectorSetsNamed } from './vector/tables.ts'

export interface LegDeps {
  readonly database: Database
  readonly clock: Clock
  /** Null: no fleet to embed with. */
  readonly embed: Embed | null
  /** Milliseconds after which the query's vector is not waited for. */
  readonly embedMs: number
  readonly costs: MeasuredCost
  readonly filters: FilterMemory
}

/** Of the time that is left: the words are found meanwhile, and what was found has still to be read. */
const embedShare = 0.5

/** A collection as this search sees it. */
export interface SearchedCollection extends Collection {
  readonly sets: readonly VectorSet[]
  /** Null: all chunks. */
  readonly allowed: ReadonlySet<number> | null
}

export interface LegResults {
  readonly collections: readonly SearchedCollection[]
  readonly keyword: readonly LegHit[]
  readonly vector: readonly LegHit[]
  /** Keys found by words that have no vector, in collections whose other chunks have one. */
  readonly lacking: ReadonlySet<string>
  /** What was looked for, for highlights. */
  readonly terms: readonly string[]
  readonly facets: Facets
  readonly embedMs: number
  readonly keywordMs: number
  readonly vectorMs: number
  /** Why the vector leg, asked for, gave nothing for some collection. */
  readonly reasons: readonly string[]
  readonly why: readonly string[]
}

/** Names a chunk over all collections that are searched. */
export function keyOf(place: number, number: number): string {
  return `${place}:${number}`
}

export function readKey(key: string): { readonly place: number; readonly number: number } {
  const [place = '', number = ''] = key.split(':')
  return { place: Number(place), number: Number(number) }
}

export interface LegOptions {
  /** Hits asked of each leg. */
  readonly depth: number
  readonly signal: AbortSignal
  /** On the clock's `nowMs`: when all has to be there. */
  readonly endsAtMs: number
}

interface Words {
  readonly hits: LegHit[]
  readonly terms: readonly string[]
  readonly facets: Facets
  readonly tookMs: number
  readonly why: string[]
}

/** Throws `invalid_request` for a bad filter, `collection_not_found`, and what the store throws for the keyword leg. */
export async function runLegs(request: SearchRequest, deps: LegDeps, options: LegOptions): Promise<LegResults> {
  const seen = Promise.withResolvers<readonly SearchedCollection[]>()
  const words = deps.database.tx(
    { tenant: request.tenant },
    async (transaction) => {
      const collections = await readCollections(transaction, request, deps)
      seen.resolve(collections)
      return keywordLeg(transaction, { request, collections, deps, options })
    },
    { name: 'search_words', readOnly: true },
  )
  words.catch(seen.reject)
  const meanings = seen.promise.then((collections) => vectorLeg({ request, collections, deps, options, words }))
  const [found, near, collections] = await Promise.all([words, meanings, seen.promise])
  return {
    collections,
    keyword: found.hits,
    vector: near.hits,
    lacking: near.lacking,
    terms: found.terms,
    facets: found.facets,
    embedMs: near.embedMs,
    keywordMs: found.tookMs,
    vectorMs: near.tookMs,
    reasons: near.reasons,
    why: [...found.why, ...near.why],
  }
}

async function readCollections(
  transaction: Transaction,
  { tenant, collections: names, filter }: SearchRequest,
  { filters }: LegDeps,
): Promise<SearchedCollection[]> {
  const [found, sets] = await Promise.all([getCollections(transaction, { tenant, names }), vectorSetsNamed(transaction, { tenant, names })])
  const byName = new Map(found.map((collection) => [collection.name, collection]))
  const missing = names.filter((name) => !byName.has(name))
  if (missing.length > 0)
    throw new CorralError('collection_not_found', `no collection ${missing.map((name) => JSON.stringify(name.slice(0, 80))).join(', ')}`)
  const searched: SearchedCollection[] = []
  for (const name of names) {
    const collection = byName.get(name)
    if (collection === undefined) continue
    const allowed = await allowedNumbers(transaction, { tenant, collection, filter }, filters)
    searched.push({ ...collection, sets: sets.filter((set) => set.collection === collection.id), allowed })
  }
  return searched
}

interface LegCall {
  readonly request: SearchRequest
  readonly collections: readonly SearchedCollection[]
  readonly deps: LegDeps
  readonly options: LegOptions
  /** What the keyword leg finds meanwhile. */
  readonly words: Promise<Words>
}

async function keywordLeg(transaction: Transaction, { request, collections, deps, options }: Omit<LegCall, 'words'>): Promise<Words> {
  const { tenant, query, filter, facets: fields } = request
  const startedMs = deps.clock.nowMs()
  const hits: LegHit[] = []
  const terms = new Set<string>()
  const why: string[] = []
  for (const [place, collection] of collections.entries()) {
    // By vectors alone, too, words mark what was found, and find what has no vector or while none of the query can be had.
    const { settings, allowed } = collection
    const wish = { tenant, collection, query, language: settings.language, limit: options.depth, allowed }
    const found = await searchKeyword(transaction, wish)
    for (const { number, score } of found.hits) hits.push({ key: keyOf(place, number), score })
    for (const term of found.terms) terms.add(term)
    why.push(`${collection.name}, words: ${found.why}`)
  }
  const tookMs = deps.clock.nowMs() - startedMs
  const facets = await countFacets(transaction, { tenant, collections: collections.map(({ id }) => id), filter, fields })
  return { hits: hits.toSorted(byScore), terms: [...terms], facets, tookMs, why }
}

function byScore(a: LegHit, b: LegHit): number {
  return b.score - a.score
}

interface Meanings {
  readonly hits: LegHit[]
  readonly lacking: ReadonlySet<string>
  readonly embedMs: number
  readonly tookMs: number
  readonly reasons: string[]
  readonly why: string[]
}

interface QueryVector {
  readonly vector: Float32Array
  readonly digest: string
}

async function vectorLeg(call: LegCall): Promise<Meanings> {
  const { request, collections, deps, options } = call
  const nothing: Meanings = { hits: [], lacking: new Set(), embedMs: 0, tookMs: 0, reasons: [], why: [] }
  if (request.mode === 'keyword') return nothing
  const withModel = collections.filter(({ settings }) => settings.embedder !== null)
  const reasons =
    request.mode === 'vector' && withModel.length < collections.length ? ['a collection has no embedder: it was searched by words'] : []
  if (withModel.length === 0) return { ...nothing, reasons }
  const startedMs = deps.clock.nowMs()
  const models = [...new Set(withModel.flatMap(({ settings }) => settings.embedder ?? []))]
  const vectors = new Map<string, QueryVector>()
  await Promise.all(
    models.map(async (model) => {
      const verdict = await embedQuery(model, call)
      if (typeof verdict === 'string') reasons.push(verdict)
      else vectors.set(model, verdict)
    }),
  )
  const embedMs = deps.clock.nowMs() - startedMs
  if (vectors.size === 0) return { ...nothing, embedMs, reasons }
  try {
    const { searched, ...found } = await lookUp(call, vectors)
    const lacking = await lackingVectors(call, searched.filter(isPartial))
    return { ...found, lacking, embedMs, reasons: [...reasons, ...found.reasons] }
  } catch (error) {
    if (options.signal.aborted || !(error instanceof CorralError) || error.fault === 'client') throw error
    return { ...nothing, embedMs, reasons: [...reasons, `vectors could not be searched: ${error.message}`] }
  }
}

/** The reason when it cannot be had. Rejects only when nobody waits any more. */
async function embedQuery(model: string, { request, deps, options: { signal, endsAtMs } }: LegCall): Promise<QueryVector | string> {
  const { embed, clock } = deps
  if (embed === null) return 'there is no fleet to embed with'
  const limitMs = shareOfTime(endsAtMs, clock.nowMs(), { share: embedShare, msMax: deps.embedMs })
  const late = (): CorralError => new CorralError('node_timeout', `no embedding within ${Math.round(limitMs)} ms`)
  const wish = { model, tenant: request.tenant, role: 'query', priority: 'interactive' } as const
  try {
    const { vectors, digest } = await within({ limitMs, clock, signal, late }, (limited) =>
      embed([request.query], { ...wish, signal: limited }),
    )
    const [vector] = vectors
    return vector === undefined ? `${model} gave no vector` : { vector, digest }
  } catch (error) {
    if (signal.aborted || !(error instanceof CorralError)) throw error
    return `${model} could not embed the query: ${error.message}`
  }
}

/** A collection whose vectors are looked up, at its place among those that are searched. */
interface Searched {
  readonly place: number
  readonly collection: SearchedCollection
  readonly set: VectorSet
  readonly vector: Float32Array
}

/** Chunks of the collection without a vector in the set. */
function missingOf({ collection, set }: Searched): number {
  return Math.max(0, collection.chunks - set.vectors)
}

function isPartial(searched: Searched): boolean {
  return missingOf(searched) > 0
}

/** What words found that cannot be found by vectors. */
async function lackingVectors({ request, deps, words }: LegCall, partial: readonly Searched[]): Promise<ReadonlySet<string>> {
  const lacking = new Set<string>()
  if (partial.length === 0) return lacking
  const found = (await words).hits.map(({ key }) => readKey(key))
  for (const { place, set } of partial) {
    const numbers = found.flatMap((hit) => (hit.place === place ? [hit.number] : []))
    const without = await deps.database.tx({ tenant: request.tenant }, (transaction) => numbersWithoutVector(transaction, set, numbers), {
      name: 'search_lacking',
      readOnly: true,
    })
    for (const number of without) lacking.add(keyOf(place, number))
  }
  return lacking
}

type LookedUp = Omit<Meanings, 'embedMs' | 'lacking'> & { readonly searched: readonly Searched[] }

function lookUp({ request, collections, deps, options }: LegCall, vectors: ReadonlyMap<string, QueryVector>): Promise<LookedUp> {
  const work = async (transaction: Transaction): Promise<LookedUp> => {
    const startedMs = deps.clock.nowMs()
    const hits: LegHit[] = []
    const reasons: string[] = []
    const why: string[] = []
    const searched: Searched[] = []
    for (const [place, collection] of collections.entries()) {
      const { embedder } = collection.settings
      const asked = embedder === null ? undefined : vectors.get(embedder)
      if (asked === undefined) continue
      const set = setOf(collection, asked)
      if (set !== null) searched.push({ place, collection, set, vector: asked.vector })
      else if (collection.chunks > 0)
        reasons.push(
          `${collection.name} has no vectors of ${embedder ?? ''} as it is now: "corral collections reingest ${collection.name}"`,
        )
    }
    for (const [index, one] of searched.entries()) {
      const { place, collection, set, vector } = one
      const wanted = vectorIndexSettings.safeParse(collection.settings.vectorIndex).data ?? null
      const query = { set, vector, limit: options.depth, allowed: collection.allowed, wanted }
      const found = await searchVectors(index + 1 < searched.length ? goingOn(transaction) : transaction, query, {
        store: deps.database.kind,
        costs: deps.costs,
        clock: deps.clock,
      })
      for (const { number, score } of found.hits) hits.push({ key: keyOf(place, number), score })
      const lacks = `${missingOf(one)} of ${collection.chunks} chunks`
      why.push(`${collection.name}, vectors: ${found.why}${isPartial(one) ? `; ${lacks} have none` : ''}`)
      if (isPartial(one))
        reasons.push(
          `${lacks} of ${collection.name} have no vector of ${collection.settings.embedder ?? ''} and are found by words: "corral collections reingest ${collection.name}"`,
        )
    }
    return { searched, hits: hits.toSorted(byScore), tookMs: deps.clock.nowMs() - startedMs, reasons, why }
  }
  return deps.database.tx({ tenant: request.tenant }, work, { name: 'search_vectors', readOnly: true })
}

function setOf({ sets }: SearchedCollection, { vector, digest }: QueryVector): VectorSet | null {
  return sets.find((set) => set.isLive && set.digest === digest && set.dimensions === vector.length && set.vectors > 0) ?? null
}
