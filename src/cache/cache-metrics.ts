/** The cache's counters as metrics, copied at each scrape: the cache counts anyway, and counts once. Times of lookups come as they happen. */
import type { Metrics } from '../observe/metrics.ts'
import type { Cache } from './layer.ts'

/** Makes each scrape show the cache as it is then, and its lookups since now. */
export function addCacheMetrics(metrics: Metrics, cache: Pick<Cache, 'stats' | 'watchLookups'>): void {
  const { cacheRequests, cacheLayer, cacheSavedTokens, cacheBytes, cacheEntries, cacheEvictions, cacheFlights, cacheLookup } =
    metrics.families
  cache.watchLookups((layer, tookMs) => cacheLookup.at(layer).observe(tookMs / 1_000))
  metrics.addSource(() => {
    const stats = cache.stats()
    const hits = Object.values(stats.hits).reduce((sum, count) => sum + count, 0)
    const bypasses = Object.values(stats.bypasses).reduce((sum, count) => sum + count, 0)
    const results = { hit: hits, miss: stats.misses, joined: stats.joined, bypass: bypasses, stale: stats.stoodIn }
    for (const [result, count] of Object.entries(results)) cacheRequests.at('inference', result).value = count
    const { hits: embedHits, misses, joined, bypasses: passed, partial } = stats.embedding
    const ofEmbedding = { hit: embedHits, miss: misses, joined, bypass: passed, partial }
    for (const [result, count] of Object.entries(ofEmbedding)) cacheRequests.at('embedding', result).value = count
    for (const result of ['hits', 'misses'] as const) cacheLayer.at('memory', result).value = stats.memory[result]
    cacheEvictions.at('memory').value = stats.memory.evictions
    for (const layer of stats.layers) {
      if (layer.evictions !== null) cacheEvictions.at(layer.name).value = layer.evictions
      for (const result of ['hits', 'misses', 'skips', 'corrupt'] as const) cacheLayer.at(layer.name, result).value = layer[result]
    }
    cacheSavedTokens.child().value = stats.tokensSaved
    cacheBytes.child().value = stats.memory.bytes
    cacheEntries.child().value = stats.memory.entries
    cacheFlights.child().value = stats.flightsUnderWay
  })
}
