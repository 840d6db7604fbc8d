/**
 * What the gateway answers, as far as the console reads it. By hand where the gateway has no words of its own for it (`src/core`): the
 * console knows the gateway over HTTP only.
 */

export interface Caller {
  readonly tenant: string
  readonly subject: string | null
  readonly method: string
  readonly scopes: readonly string[]
  /** An admin of the tenant that runs the gateway. */
  readonly operator: boolean
  readonly expiresAt: string | null
}

export interface Session {
  readonly version: string
  readonly needsKey: boolean
  /** Issuers of tokens at which one can sign in. */
  readonly logins: readonly { readonly url: string; readonly title: string }[]
  readonly caller: Caller | null
}

export interface LoadedModel {
  readonly model: string
  readonly vramBytes: number
  readonly contextLength: number | null
  readonly expiresAt: string | null
}

export interface Runner {
  readonly model: string
  readonly inFlight: number
  /** Streams that stand still. */
  readonly standing: number
  readonly slots: number | null
  readonly slotsFrom: string
  readonly resident: boolean
  readonly loading: { readonly sinceMs: number; readonly remainingMs: number } | null
}

export interface FleetNode {
  readonly name: string
  readonly url: string
  readonly up: boolean | null
  readonly downReason: string | null
  readonly lastFailure: { readonly reason: string; readonly agoMs: number } | null
  readonly version: string | null
  readonly draining: boolean
  readonly breaker: 'closed' | 'open' | 'half_open'
  readonly ejectedForMs: number
  readonly lastSeenAgoMs: number | null
  readonly overloadedForMs: number
  readonly inFlight: number
  readonly models: readonly string[] | null
  readonly loaded: readonly LoadedModel[]
  readonly runners: readonly Runner[]
}

export interface Pool {
  readonly model: string
  readonly queued: number
  readonly queueMax: number
  readonly slots: number | null
  readonly etaMs: number
}

export interface Fleet {
  readonly nodes: readonly FleetNode[]
  readonly pools: readonly Pool[]
  readonly drift: readonly { readonly model: string; readonly digests: Readonly<Record<string, readonly string[]>> }[]
}

export interface LiveRequest {
  readonly id: string
  readonly route: string
  readonly model: string | null
  readonly tenant: string
  readonly priority: string
  readonly phase: string
  readonly ageMs: number
  readonly node: string | null
  readonly attempts: number
  readonly frames: number
  readonly queuePosition: number
  readonly etaMs: number | null
}

export interface OverviewPoint {
  readonly atMs: number
  readonly requestsPerSecond: number
  readonly errorShare: number | null
  readonly ttftP50Ms: number | null
  readonly ttftP95Ms: number | null
  readonly tokensPerSecond: number
  readonly queued: number
  readonly inFlight: number
}

export interface OverviewNow extends OverviewPoint {
  readonly budgetLeft: number | null
}

export interface NodeRates {
  readonly node: string
  readonly requestsPerSecond: number
  readonly errorShare: number | null
  readonly ttftP95Ms: number | null
}

/** How much of the gateway is shown: replicas and workers that answered, this one included; those that did not. */
export interface Coverage {
  readonly processes: number
  readonly silent: number
  /** Other replicas, if there are any, are not shown. */
  readonly redisAway: boolean
}

/** One second of `/admin/live`. */
export interface LiveState {
  readonly atMs: number
  readonly fleet: Fleet
  readonly nodeRates: readonly NodeRates[]
  readonly requests: readonly LiveRequest[]
  readonly requestsTotal: number
  readonly coverage: Coverage
  readonly overview: OverviewNow
}

export interface Limits {
  readonly requestsPerMinute: number | null
  readonly tokensPerMinute: number | null
  readonly concurrency: number | null
  readonly gpuSecondsPerDay: number | null
  readonly gpuSecondsPerMonth: number | null
}

export interface Key {
  readonly id: string
  readonly tenant: string
  readonly kind: string
  readonly title: string
  readonly scopes: readonly string[]
  readonly models: readonly string[] | null
  readonly limits: Limits
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly lastUsedAt: string | null
  readonly revokedAt: string | null
  readonly revokedReason: string | null
  /** Until when the revocation can be taken back. A replica of an older release does not say it. */
  readonly restorableUntil?: string | null
  /** Only in the answer that makes it. */
  readonly key?: string | null
}

export interface UsageSum {
  readonly group: Readonly<Record<string, string | null>>
  readonly requests: number
  readonly cachedRequests: number
  readonly promptTokens: number
  readonly cachedPromptTokens: number
  readonly outputTokens: number
  readonly gpuSeconds: number
}
