/**
 * The whole configuration: each module declares its own options, this file only puts them side by side. A capability is
 * switched by exactly one key: `enabled` (or a named boolean) in the section of the module that owns it; `features` holds
 * the switches of the capabilities that have no section. `featureKeys` lists all of them in one place.
 */
import { z } from 'zod'

import { answerOptions } from '../answer/options.ts'
import { cacheOptions } from '../cache/options.ts'
import { fleetOptions } from '../fleet/options.ts'
import { httpOptions } from '../http/options.ts'
import { identityOptions } from '../identity/options.ts'
import { ingestOptions } from '../ingest/job-options.ts'
import { limitsOptions } from '../limits/options.ts'
import { observeOptions } from '../observe/options.ts'
import { searchOptions } from '../search/options.ts'
import { storeOptions } from '../store/options.ts'
import { redisOptions } from '../store/redis-options.ts'

export const featureOptions = z.strictObject({
  /** The routes below /admin, which `corral nodes` and `corral top` use. */
  admin: z.boolean().default(true),
  /** Routes that change what the nodes hold: pull, push, create, copy, delete, blobs. */
  modelOperations: z.boolean().default(true),
  /** Documents, search and grounded answers: the routes below /rag and assistants. */
  rag: z.boolean().default(true),
  /** The web console at /console/, and its sessions. */
  console: z.boolean().default(true),
  /** The manual at /docs/. */
  docs: z.boolean().default(true),
})

export const configSchema = z.strictObject({
  fleet: fleetOptions.prefault({}),
  http: httpOptions.prefault({}),
  observe: observeOptions.prefault({}),
  identity: identityOptions.prefault({}),
  limits: limitsOptions.prefault({}),
  cache: cacheOptions.prefault({}),
  ingest: ingestOptions.prefault({}),
  search: searchOptions.prefault({}),
  answer: answerOptions.prefault({}),
  store: storeOptions.prefault({}),
  redis: redisOptions.prefault({}),
  /** Keys the digests of API keys, the caches and the cursors; the same on all replicas. */
  secret: z.string().min(32).optional(),
  features: featureOptions.prefault({}),
})

export type Config = z.infer<typeof configSchema>

/** Which key switches which capability. */
export const featureKeys = {
  admission: 'fleet.admission.enabled',
  breaker: 'fleet.breaker.enabled',
  retry: 'fleet.retry.enabled',
  loads: 'fleet.loads.enabled',
  loadLease: 'fleet.loads.lease',
  watchdog: 'fleet.watchdog.enabled',
  embedSplit: 'fleet.embed.split',
  hedging: 'fleet.embed.hedge',
  cloudModels: 'fleet.cloudModels',
  routeHeaders: 'http.routeHeaders',
  metrics: 'observe.metrics.enabled',
  trace: 'observe.trace.enabled',
  accessLog: 'observe.log.access',
  limits: 'limits.enabled',
  addressLimit: 'limits.address.enabled',
  usage: 'limits.usage.enabled',
  signatures: 'identity.signatures.enabled',
  cache: 'cache.enabled',
  cacheInference: 'cache.kinds.inference',
  cacheEmbedding: 'cache.kinds.embedding',
  cacheRetrieval: 'cache.kinds.retrieval',
  cacheMemory: 'cache.layers.memory',
  cacheFlight: 'cache.layers.flight',
  cacheFlightLease: 'cache.flight.lease',
  cacheRedis: 'cache.layers.redis',
  cachePostgres: 'cache.layers.postgres',
  ingestUrls: 'ingest.urls',
  answersKept: 'answer.keepsAnswers',
  answerTexts: 'answer.log.texts',
  store: 'store.enabled',
  admin: 'features.admin',
  modelOperations: 'features.modelOperations',
  rag: 'features.rag',
  console: 'features.console',
  docs: 'features.docs',
} as const satisfies Record<string, string>

/**
 * Keys, or the sections they stand for, that a running gateway does not change: the listening socket, the log's output, and
 * what each node's connection pool is made with. A node that is added or changed takes the new values.
 */
export const restartKeys: readonly string[] = [
  'http.host',
  'http.port',
  'http.workers',
  'http.insecureNoAuth',
  'http.keepAliveTimeoutMs',
  'http.headersTimeoutMs',
  'http.headerBytesMax',
  'http.connectionsMax',
  'http.memoryBytesMax',
  'http.drainDelayMs',
  'http.origins',
  'http.hosts',
  'http.trustedProxies',
  'observe.log.format',
  'observe.log.file',
  'observe.trace.endpoint',
  'observe.trace.headers',
  'observe.trace.service',
  'observe.trace.sampler',
  'observe.trace.ratio',
  'observe.trace.genAi',
  'observe.trace.queueSpansMax',
  'observe.trace.everyMs',
  'observe.trace.timeoutMs',
  'fleet.connectTimeoutMs',
  'fleet.loads.lease',
  'identity',
  'cache.memoryBytes',
  'cache.memoryShares',
  'cache.flight.lease',
  'cache.layers.memory',
  'cache.layers.redis',
  'cache.layers.postgres',
  'cache.staleMs',
  'features.rag',
  'ingest.folders',
  'ingest.parsers',
  'ingest.workers',
  'store',
  'redis',
  'secret',
]

/** Whether a change of `key` waits for a restart. */
export function needsRestart(key: string): boolean {
  return restartKeys.some((known) => key === known || key.startsWith(`${known}.`))
}

/** Freezes `value` and everything below it, and returns it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) deepFreeze(child)
  }
  return value
}
