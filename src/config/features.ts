/** Each capability in words, what switches it, and which of them a running gateway can switch. */
import { featureKeys, needsRestart } from './schema.ts'

export type FeatureName = keyof typeof featureKeys

const meanings: Readonly<Record<FeatureName, string>> = {
  admission: 'bounded, fair waiting lines in front of the nodes',
  breaker: 'nodes that keep failing are taken out for a while',
  retry: 'a request that a node failed before its first token goes to another node',
  loads: 'cold models are loaded by a request of Corral itself',
  loadLease: 'replicas agree on who loads a model',
  watchdog: 'a node whose scheduler is stuck is freed',
  embedSplit: 'large embedding batches are spread over the nodes',
  hedging: 'the slow part of an embedding batch is asked of a second node',
  cloudModels: 'models that Ollama passes on to its cloud may be asked',
  routeHeaders: 'answers say which node gave them and why',
  metrics: 'the figures at /metrics',
  trace: 'the trace context of clients is carried on, and spans are made where a collector is named',
  accessLog: 'a line per request in the log',
  limits: 'limits and budgets of callers',
  addressLimit: 'a limit for addresses without a valid credential',
  usage: 'a record per request of what was used',
  signatures: 'the Ollama command line may sign in place of a key',
  cache: 'answers computed once are not computed again',
  cacheInference: 'answers of models are cached',
  cacheEmbedding: 'embeddings are cached text by text',
  cacheRetrieval: 'searches are cached',
  cacheMemory: 'the cache in memory',
  cacheFlight: 'equal requests under way share one call',
  cacheFlightLease: 'equal requests share one call over all replicas',
  cacheRedis: 'the cache in Redis',
  cachePostgres: 'the cache in Postgres',
  ingestUrls: 'documents may be fetched by URL',
  answersKept: 'cited answers are kept and given again',
  answerTexts: 'questions and answers are kept word by word',
  store: 'what outlives the process: keys, usage, documents',
  admin: 'the routes below /admin',
  modelOperations: 'pull, push, create, copy and delete on the nodes',
  rag: 'documents, search and cited answers',
  console: 'the web console',
  docs: 'the manual at /docs/',
}

export const featureNames = Object.keys(featureKeys).filter(isFeatureName)

export function isFeatureName(name: string): name is FeatureName {
  return Object.hasOwn(featureKeys, name)
}

export function meaningOf(name: FeatureName): string {
  return meanings[name]
}

/** Why a running gateway cannot switch it; null when it can. */
export function whyFixed(name: FeatureName): string | null {
  if (name === 'admin') return 'switching it here would close the way back: set features.admin in the configuration and reload'
  const key = featureKeys[name]
  return needsRestart(key) ? `needs a restart: set ${key} in the configuration` : null
}
