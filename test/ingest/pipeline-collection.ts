/** The collection that tests of ingest write to. */
import type { CollectionSettings } from '../../src/core/corpus.ts'

export { createCollection } from '../../src/search/collections.ts'

export const defaultCollectionSettings: CollectionSettings = {
  embedder: 'all-minilm',
  language: 'en',
  chunking: { targetTokens: 40, maxTokens: 64, overlapTokens: 0 },
  fusionWeight: 0.5,
  retentionDays: null,
}
