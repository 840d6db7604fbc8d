/** One request's life as everything below the edge sees it: who, how urgent, until when, and where it stands. */
import type { CallSignal } from '../base/abort.ts'
import type { Explanation } from './explanation.ts'
import type { Principal } from './principal.ts'

export type Priority = 'interactive' | 'batch'

/** W3C trace context of the call: the ids of our own span, its parent's `tracestate` passed on untouched. */
export interface TraceContext {
  readonly traceId: string
  readonly spanId: string
  /** The span above ours; null where the trace begins here. */
  readonly parentId: string | null
  /** A call that Corral makes for another one: no client sees its answer. */
  readonly inner: boolean
  readonly sampled: boolean
  readonly state: string | null
}

/** Where a call stands, for `/admin/requests`. Written by the layer that owns the phase. */
export type Phase = 'received' | 'queued' | 'loading' | 'waiting' | 'streaming' | 'done'

export interface Progress {
  phase: Phase
  /** 1-based place in its pool's queue; 0 when not queued. */
  queuePosition: number
  /** Estimated milliseconds until it is dispatched; null when unknown. */
  etaMs: number | null
  /** Node that serves it now, by name. */
  node: string | null
  /** Why that node, as in `Provenance.reason`; null before. */
  routeReason: string | null
  /** Attempts made so far. */
  attempts: number
  /** Frames received from the node so far. */
  frames: number
  /** Monotonic ms when the last attempt was sent; null before, and for who left an attempt that others share. */
  dispatchedAtMs: number | null
  /** Monotonic ms when it passed from one part of the gateway into the next; null before the first. */
  boundaryAtMs: number | null
  /** What the answer's head says of the cache that had no part in it, in place of the node's headers of the same names; null: nothing. */
  bypassHeaders: Readonly<Record<string, string>> | null
}

export interface Call {
  /** Request id, sent back as `X-Request-Id`. */
  readonly id: string
  /** Monotonic milliseconds of arrival, before anybody asked who it is. */
  readonly receivedAtMs: number
  /** Monotonic milliseconds after which nobody waits for the first frame any more; `Infinity` for none. */
  readonly deadlineAtMs: number
  readonly priority: Priority
  /** Isolation and fairness unit, that of `principal`; `local` in open mode. */
  readonly tenant: string
  /** Who asks and what they may do. */
  readonly principal: Principal
  /** Aborted when the client leaves or an operator cancels. */
  readonly signal: CallSignal
  readonly trace: TraceContext | null
  readonly progress: Progress
  /** Where the layers note why they did what they did; null: nobody asked. Set by the edge, before anything is decided. */
  explanation: Explanation | null
}

/** The progress of a call that has just arrived; `boundaryAtMs`: when, for those from outside. */
export function newProgress(boundaryAtMs: number | null = null): Progress {
  return {
    phase: 'received',
    queuePosition: 0,
    etaMs: null,
    node: null,
    routeReason: null,
    attempts: 0,
    frames: 0,
    dispatchedAtMs: null,
    boundaryAtMs,
    bypassHeaders: null,
  }
}
