/**
 * What a routing policy sees and returns. A policy is a pure function: the same candidates, request and random numbers give
 * the same order. It never filters for health; the caller hands in only nodes that may be used, and a node in doubt
 * carries a `penalty`.
 */

/** Live figures of one node for one model; the dispatcher keeps one such object per (node, model) and mutates it. */
export interface Candidate {
  readonly node: string
  /** Requests of this model under way here (dispatched, not ended). */
  readonly inFlight: number
  /** Requests of all models under way here. */
  readonly nodeInFlight: number
  /** Generations the node runs at once for this model: configured, learned, or assumed. */
  readonly slots: number
  /** `cold`: not in memory, a request would load it. */
  readonly residency: 'resident' | 'loading' | 'cold'
  /** Milliseconds until a load under way is expected to end; 0 otherwise. */
  readonly loadRemainingMs: number
  /** Milliseconds of loads of other models that stand before ours in this node's single loader. */
  readonly loaderBacklogMs: number
  /** Order of choice: the larger, the more recently chosen; ties go to the smallest. */
  readonly lastChosen: number
  /** ≥ 0: extra load by which a node in doubt (recent failures, overload, slow start) looks busier. 0 = none. */
  readonly penalty: number
  /** Estimated work still to be done here for this model's requests under way, in slot-milliseconds. */
  readonly pendingMs: number
  /** Milliseconds a load of this model takes here (learned or default). */
  readonly loadMs: number
  /** Learned prefill cost; null until known. */
  readonly prefillMsPerToken: number | null
  /** Learned decode cost per stream; null until known. */
  readonly decodeMsPerToken: number | null
  /** Prompt tokens of this conversation that this node probably still holds in its prefix cache. */
  readonly cachedTokens: number
  /** Price of what loading here would evict: (chance it is wanted soon) × (its load time) / (1 + other warm copies), in ms. 0 when resident. */
  readonly evictionMs: number
}

export interface RouteRequest {
  readonly promptTokens: number
  /** Expected output tokens (learned mean of the model, bounded by the client's own limit). */
  readonly outputTokens: number
  /**
   * Requests of this model that stand before this one in the gateway's own line; absent = none. Without it a deep line
   * never looks worse than a load, and no policy spreads a model whose holders are merely full.
   */
  readonly queuedAhead?: number
}

/** One place of a ranking. */
export interface Ranked<C extends Candidate = Candidate> {
  readonly candidate: C
  /** Policy's own unit; smaller is better. */
  readonly cost: number
  /** Why it stands here, closed set: `least-loaded`, `affinity`, `loaded`, `cold`, `only`, `spill`. */
  readonly reason: string
}

/** Best first, one place per candidate. */
export type Policy = <C extends Candidate>(candidates: readonly C[], request: RouteRequest, random: () => number) => readonly Ranked<C>[]
