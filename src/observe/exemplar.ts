/** Latencies that a trace explains: where its spans are exported, the histogram keeps its id beside the bucket. */
import type { Clock } from '../base/clock.ts'
import type { TraceContext } from '../core/call.ts'
import type { Distribution } from './families.ts'

/** Adds milliseconds to a histogram of seconds. A trace that no collector gets is named by nobody. */
export type ObserveLatency = (distribution: Distribution, latencyMs: number, trace: TraceContext | null) => void

/** `clock` tells when an example was. */
export function createLatencyObserver(clock: Clock): ObserveLatency {
  return (distribution, latencyMs, trace) => {
    if (trace === null || !trace.sampled) distribution.observe(latencyMs / 1_000)
    else distribution.observeTraced(latencyMs / 1_000, trace.traceId, clock.wallMs())
  }
}
