/** Reads a window of a load: how many requests ended, how many of them well, and at what rate. */
import type { LoadWindow } from './load-spec.ts'
import { rounded } from './result.ts'

export interface Outcome {
  readonly ok: number
  readonly failed: number
  /** 0 to 1; 0 when nothing ended. */
  readonly failedShare: number
  readonly okPerSecond: number
  /** The failures by kind. */
  readonly kinds: Readonly<Record<string, number>>
}

export function outcomeOf(windows: readonly LoadWindow[]): Outcome {
  const all: Record<string, number> = {}
  for (const window of windows) for (const [kind, count] of Object.entries(window.kinds)) all[kind] = (all[kind] ?? 0) + count
  const { ok = 0, ...kinds } = all
  const failed = Object.values(kinds).reduce((sum, count) => sum + count, 0)
  const durationMs = windows.reduce((sum, window) => sum + window.durationMs, 0)
  return { ok, failed, failedShare: failed / Math.max(1, ok + failed), okPerSecond: (ok * 1_000) / Math.max(1, durationMs), kinds }
}

/** What a person asks of a window first. */
export interface Summary {
  readonly requests: number
  readonly perSecond: number
  /** Infinity where nothing ended well, so that no bar on it holds. */
  readonly p50Ms: number
  readonly p95Ms: number
  readonly failedShare: number
  /** Of those that ended well, 0 to 1. */
  readonly hitShare: number
  readonly kinds: Readonly<Record<string, number>>
}

export function summaryOf(window: LoadWindow): Summary {
  const { ok, failed, failedShare, okPerSecond, kinds } = outcomeOf([window])
  const latency = window.latencyMs['ok']
  return {
    requests: ok + failed,
    perSecond: rounded(okPerSecond),
    p50Ms: rounded(latency?.p50 ?? Infinity),
    p95Ms: rounded(latency?.p95 ?? Infinity),
    failedShare,
    hitShare: rounded((window.cache['hit']?.count ?? 0) / Math.max(1, ok)),
    kinds,
  }
}
