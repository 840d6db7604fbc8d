/** What an entry can be found by when it must go: whose it is, of which model, what kind. And which entries a purge means. */
import type { CacheKind } from './key.ts'

export interface Tags {
  readonly tenant: string
  readonly kind: CacheKind
  /** Digest of the model that made it. */
  readonly digest: string
}

/** All given conditions must hold; none given: everything. */
export interface PurgeSelector {
  readonly tenant?: string
  readonly kind?: CacheKind
  /** A model's name (its present digest) or a digest. */
  readonly model?: string
  /** The full key without the suffix for its form, as `explain` tells it. */
  readonly key?: string
}

/** The same with the model as a digest: what layers understand. */
export interface ResolvedSelector {
  readonly tenant: string | null
  readonly kind: CacheKind | null
  readonly digest: string | null
  readonly key: string | null
}

/** Keys of stores are a key and a suffix for the form of the answer. */
export function selects(selector: ResolvedSelector, key: string, tags: Tags): boolean {
  if (selector.key !== null && !key.startsWith(selector.key)) return false
  if (selector.tenant !== null && selector.tenant !== tags.tenant) return false
  if (selector.kind !== null && selector.kind !== tags.kind) return false
  return selector.digest === null || selector.digest === tags.digest
}
