/** Work that may take so long and no longer, and shares of a time that has an end. */
import type { Clock } from './clock.ts'

export interface Limit {
  readonly limitMs: number
  readonly clock: Clock
  /** Ends the work before. */
  readonly signal: AbortSignal
  /** What it fails with when the time is over. */
  readonly late: () => Error
}

/**
 * What `work` gives. Rejects with `late()` after `limitMs`, and with the signal's reason when that aborts, also where the work heeds neither:
 * the signal it is given is aborted in both cases.
 */
export async function within<T>({ limitMs, clock, signal, late }: Limit, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const limit = new AbortController()
  const timer = clock.after(limitMs, () => limit.abort(late()))
  const both = AbortSignal.any([signal, limit.signal])
  const ended = Promise.withResolvers<never>()
  const end = (): void => ended.reject(both.reason)
  both.addEventListener('abort', end, { once: true })
  if (both.aborted) end()
  try {
    return await Promise.race([work(both), ended.promise])
  } catch (error) {
    // What the work makes of its end is not the reason of it.
    throw both.aborted ? both.reason : error
  } finally {
    timer.cancel()
    both.removeEventListener('abort', end)
  }
}

/** Resolves when `work` does, and at the latest after `limitMs`: the work then goes on. Rejects when the work rejects before. */
export async function waitAtMost(limitMs: number, clock: Clock, work: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = clock.after(limitMs, resolve)
  try {
    await Promise.race([work, late])
  } finally {
    timer.cancel()
  }
}

/** Milliseconds: `share` (0–1) of the time to `endsAtMs`, at most `msMax`; 0 when that is over. */
export function shareOfTime(endsAtMs: number, nowMs: number, { share, msMax }: { readonly share: number; readonly msMax: number }): number {
  return Math.max(0, Math.min(msMax, (endsAtMs - nowMs) * share))
}
