/** One request under way as `/admin/requests` shows it: who, where, how far. Never what it says. */
import type { Call } from '../../core/call.ts'
import type { CallRegistry, ListedCall } from '../call-registry.ts'

export interface CallSnapshot {
  readonly id: string
  readonly route: string
  readonly model: string | null
  readonly tenant: string
  readonly priority: Call['priority']
  readonly phase: Call['progress']['phase']
  readonly ageMs: number
  /** Milliseconds for which its client still waits for the first frame; null for no limit. */
  readonly deadlineInMs: number | null
  readonly node: string | null
  readonly attempts: number
  readonly frames: number
  readonly queuePosition: number
  readonly etaMs: number | null
  readonly traceId: string | null
}

/** Names are the client's, and may be of any length. */
const modelLengthMax = 256

/** All calls at monotonic `nowMs`. */
export function snapshotCalls(calls: Pick<CallRegistry, 'list'>, nowMs: number): CallSnapshot[] {
  return calls.list().map((listed) => snapshotCall(listed, nowMs))
}

/** The call at monotonic `nowMs`. */
function snapshotCall({ call, route, model }: ListedCall, nowMs: number): CallSnapshot {
  const { phase, node, attempts, frames, queuePosition, etaMs } = call.progress
  return {
    id: call.id,
    route: route.pattern,
    model: model?.slice(0, modelLengthMax) ?? null,
    tenant: call.tenant,
    priority: call.priority,
    phase,
    ageMs: Math.round(nowMs - call.receivedAtMs),
    deadlineInMs: Number.isFinite(call.deadlineAtMs) ? Math.round(call.deadlineAtMs - nowMs) : null,
    node,
    attempts,
    frames,
    queuePosition,
    etaMs,
    traceId: call.trace?.traceId ?? null,
  }
}
