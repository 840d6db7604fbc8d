/** Options of collections and search. `config/default.yaml` explains each key. */
import { z } from 'zod'

import type { CollectionSettings } from '../core/corpus.ts'
import { durationMs } from '../core/options.ts'
import { collectionSettings } from './collections.ts'
import { defaultFusionWeight } from './fuse.ts'

/** The embedder of new collections: the first one that the fleet is found to have. */
export const autoEmbedder = 'auto'

const { language, chunking, fusionWeight, retentionDays } = collectionSettings.shape

export const searchOptions = z.strictObject({
  /** What a new collection is set to where its maker says nothing. */
  defaults: z
    .strictObject({
      /** A model's name; `auto`: the first embedder that is found on the nodes; null: words only. */
      embedder: z.string().min(1).max(200).nullable().default(autoEmbedder),
      language: language.default('auto'),
      chunking: chunking.default({ targetTokens: 200, maxTokens: 320, overlapTokens: 0 }),
      fusionWeight: fusionWeight.default(defaultFusionWeight),
      retentionDays: retentionDays.default(null),
      vectorStorage: z.enum(['full', 'half']).default('full'),
    })
    .prefault({}),
  /** How often indexes are looked after: segments joined, vector indexes built, what was replaced removed. */
  upkeepMs: durationMs(5_000, { minMs: 100 }),
  /** Searches looked up at once in this process; others wait for their turn. */
  inFlight: z.int().min(1).max(1_000).default(16),
  /** And how many may wait, and how long. */
  waitingMax: z.int().min(0).max(100_000).default(2_000),
  waitMs: durationMs(30_000, { minMs: 1 }),
  /** A query's vector that takes longer is not waited for: the search goes by words, `degraded`. */
  embedMs: durationMs(5_000, { minMs: 50 }),
  /** A search waits while the database has been away for no longer than this. */
  outageWaitMs: durationMs(5_000, { minMs: 0 }),
})

export type SearchOptions = z.infer<typeof searchOptions>

/** Settings of a new collection; its embedder may still be `auto`. */
export function newCollectionSettings({ defaults }: SearchOptions, wanted: Partial<CollectionSettings>): CollectionSettings {
  return { ...defaults, ...wanted }
}
