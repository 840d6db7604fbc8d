/**
 * The default policy: the node with the fewest requests per slot, equals in turn. Where a model must be loaded first the node
 * looks busier by `coldLoad`, so that a free place on a node that holds the model always goes first, and a load is started
 * only when all holders are busy. Needs no learned figures, hence right from the first request on.
 */
import type { Candidate, Ranked, RouteRequest } from './policy.ts'
import { mixOf, place, residencyReason } from './ranking.ts'

/**
 * Load by which a node without the model looks busier. Below 1, because a full holder counts exactly 1 while the
 * gateway bounds what it sends: a larger figure would never spread a model. Above (slots − 1) / slots for up to 8
 * slots: an idle cold node never draws a request from a holder that has a free slot.
 */
const coldLoad = 0.9
/** A load under way costs the less, the nearer its end; never less than this. */
const loadingLoad = 0.1

export function leastLoaded<C extends Candidate>(candidates: readonly C[], _request: RouteRequest): readonly Ranked<C>[] {
  const mix = mixOf(candidates)
  const ranking: Ranked<C>[] = []
  for (const candidate of candidates) {
    place(ranking, { candidate, cost: loadOf(candidate), reason: residencyReason(candidate, mix) })
  }
  return ranking
}

/** Requests per slot, the surcharges included. */
function loadOf(candidate: Candidate): number {
  const load = (candidate.inFlight + candidate.penalty) / candidate.slots
  if (candidate.residency === 'resident') return load
  if (candidate.residency === 'cold') return load + coldLoad
  const left = candidate.loadMs > 0 ? Math.min(1, candidate.loadRemainingMs / candidate.loadMs) : 1
  return load + loadingLoad + (coldLoad - loadingLoad) * left
}
