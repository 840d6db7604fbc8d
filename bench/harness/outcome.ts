/** Reads a window of a load: how many requests ended, how many of them well, and at what rate. */
import type { LoadWindow } from './load-spec.ts'

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
