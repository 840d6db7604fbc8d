/**
 * When an entry that is still fresh is made anew by one who asks for it, so that nobody waits when it ends: XFetch (Vattani, Chierichetti,
 * Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", 2015) with β = 1. The closer the end and the longer the making, the likelier;
 * a key that is asked for once in a while is hardly ever drawn.
 */
import type { EntryAge } from './freshness.ts'

/** Only in this last part of an entry's life. */
const lastShare = 0.1

/** Draws whether the entry counts as ended for this one request. `originMs`: what the making took; `random` in [0, 1). */
export function endsEarly({ ageMs, freshForMs }: EntryAge, originMs: () => number, random: () => number): boolean {
  if (freshForMs <= 0 || freshForMs > (ageMs + freshForMs) * lastShare) return false
  return -originMs() * Math.log(1 - random()) >= freshForMs
}
