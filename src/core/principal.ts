/**
 * Who is behind a call and what it may do: the result of authentication, attached to the call before its body is read.
 * Everything that isolates (caches, fairness, limits, rows) takes the tenant from here and from nowhere else.
 */

/** Everything a credential can be allowed, a closed set. */
export const scopes = ['chat', 'embed', 'models:read', 'models:write', 'rag:read', 'rag:write', 'relay', 'metrics', 'admin'] as const

export type Scope = (typeof scopes)[number]

/** Ceilings of one credential, tenant or model class. Null: none. */
export interface LimitSet {
  readonly requestsPerMinute: number | null
  readonly tokensPerMinute: number | null
  /** Requests under way at once. */
  readonly concurrency: number | null
  /** GPU time as nodes report it: prompt and output evaluation. */
  readonly gpuSecondsPerDay: number | null
  readonly gpuSecondsPerMonth: number | null
}

export const noLimits: LimitSet = {
  requestsPerMinute: null,
  tokensPerMinute: null,
  concurrency: null,
  gpuSecondsPerDay: null,
  gpuSecondsPerMonth: null,
}

/** Whether answers are kept: those to requests that pin their sampling, all, none. */
export const cacheModes = ['auto', 'on', 'off'] as const

export type CacheMode = (typeof cacheModes)[number]

export interface Principal {
  /** Isolation unit; `local` in open mode. */
  readonly tenant: string
  /** How it was proven; `open`: not at all. */
  readonly method: 'open' | 'key' | 'jwt' | 'signature'
  /** Stable name inside the tenant for logs, usage and limits: a key's id, or a hash of issuer and subject. Null in open mode. */
  readonly subject: string | null
  readonly scopes: ReadonlySet<Scope>
  /** Models it may use, canonical names or patterns with `*`; null: all. */
  readonly models: readonly string[] | null
  /** Nodes it may be served by, a name of `fleet.nodes[].group`; null: all. */
  readonly nodeGroup: string | null
  /** Which of its answers are cached; null: as route and configuration say. */
  readonly cache: CacheMode | null
  /** Of the credential itself. */
  readonly limits: LimitSet
  /** Of its tenant, shared by all its credentials. */
  readonly tenantLimits: LimitSet
  /** Epoch ms at which its key ends; null: never. A token's own end is a session's, and not kept here. */
  readonly expiresAtWallMs: number | null
}

/** Everybody, where nobody has to say who they are. */
export const openPrincipal: Principal = {
  tenant: 'local',
  method: 'open',
  subject: null,
  scopes: new Set(scopes),
  models: null,
  nodeGroup: null,
  cache: null,
  limits: noLimits,
  tenantLimits: noLimits,
  expiresAtWallMs: null,
}
