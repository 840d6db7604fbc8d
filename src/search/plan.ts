/**
 * How the vectors of one collection are looked up: every one compared (exact), only those that a filter lets through (exact too), or by an
 * index. Exact is the choice while it is fast by what was measured here; an index whose collection is larger gives most of the nearest in
 * a fraction of the time. Selective filters are always exact: an index loses results there (pgvector's README; 0.86 of them at 1 % with an
 * iterative scan over 10,000 vectors, 0.56 over 50,000).
 */
import type { VectorIndexSettings } from '../core/corpus.ts'
import type { MeasuredCost } from './measured-cost.ts'
import type { VectorSet } from './vector/tables.ts'

/**
 * Below this an exact scan is not looked at twice. Of 19,968 vectors of 384 numbers it took a server 128 ms, a search in an index 3
 * (`bench search-speed` at 2f089f1 and ea668e4).
 */
export const exactRowsMax = 5_000
/** An exact scan that is expected to take no longer than this is taken whatever the index would. */
const exactBudgetMs = 12
/** Filters that let less than this share through are exact. */
const selectiveShare = 0.05
/** Milliseconds per compared vector of 384 numbers before anything was measured: 25 ms for 10,000 in PGlite, 11 natively. */
const rowMs = { embedded: 0.0025, postgres: 0.0011 } as const
const firstDimensions = 384
/** A search in an index before anything was measured. */
const indexMs = 5

export type StoreKind = 'embedded' | 'postgres'

export type VectorPlan =
  { readonly kind: 'exact'; readonly why: string } | { readonly kind: 'index'; readonly index: VectorIndexSettings; readonly why: string }

export interface PlanFacts {
  readonly set: VectorSet
  readonly store: StoreKind
  /** Chunks that a filter lets through; null: all. */
  readonly allowed: number | null
  /** What the collection is set to. */
  readonly wanted: VectorIndexSettings | null
}

export function exactKey({ name }: VectorSet): string {
  return `${name} exact`
}

export function indexKey({ name }: VectorSet, index: VectorIndexSettings): string {
  return `${name} ${JSON.stringify(index)}`
}

export function firstRowMs(store: StoreKind, { dimensions }: Pick<VectorSet, 'dimensions'>): number {
  return (rowMs[store] * Math.max(dimensions, 1)) / firstDimensions
}

export const firstIndexMs = indexMs

/** The settings a search uses: the index as it was built, searched the way that the collection is set to. */
export function usedIndex(built: VectorIndexSettings, wanted: VectorIndexSettings | null): VectorIndexSettings {
  if (built.kind === 'hnsw' && wanted?.kind === 'hnsw') return { ...built, efSearch: wanted.efSearch }
  if (built.kind === 'ivfflat' && wanted?.kind === 'ivfflat') return { ...built, probes: wanted.probes }
  return built
}

export function planVectors({ set, store, allowed, wanted }: PlanFacts, costs: MeasuredCost): VectorPlan {
  const rows = Math.min(allowed ?? set.vectors, set.vectors)
  const exactMs = rows * costs.of(exactKey(set), firstRowMs(store, set))
  const expected = `${rows} vectors, about ${exactMs.toFixed(1)} ms`
  if (wanted?.kind === 'exact') return { kind: 'exact', why: `exact as the collection is set: ${expected}` }
  if (set.index === null || set.index.kind === 'exact') {
    return { kind: 'exact', why: set.vectors < exactRowsMax ? `exact: ${expected}` : `exact, as there is no index yet: ${expected}` }
  }
  if (allowed !== null && rows < set.vectors * selectiveShare)
    return { kind: 'exact', why: `exact over what the filter lets through: ${expected}` }
  const index = usedIndex(set.index, wanted)
  const byIndexMs = costs.of(indexKey(set, index), indexMs)
  if (exactMs <= Math.max(exactBudgetMs, byIndexMs))
    return { kind: 'exact', why: `exact: ${expected}, by the index about ${byIndexMs.toFixed(1)} ms` }
  return { kind: 'index', index, why: `${describeIndex(index)}: about ${byIndexMs.toFixed(1)} ms, exact would be ${expected}` }
}

export function describeIndex(index: VectorIndexSettings): string {
  switch (index.kind) {
    case 'exact':
      return 'exact'
    case 'hnsw':
      return `HNSW m ${index.m}, ef_construction ${index.efConstruction}, ef_search ${index.efSearch}`
    case 'ivfflat':
      return `IVFFlat lists ${index.lists}, probes ${index.probes}`
    default:
      return index satisfies never
  }
}
