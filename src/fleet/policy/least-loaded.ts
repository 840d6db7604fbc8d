/**
 * The default policy: the node with the fewest requests per slot, equals in turn. Where a model must be loaded first the node
 * looks busier, so that a free place on a node that holds the model goes first and a load is started only when all
 * holders are busy; where the load would push out a wanted model it looks busier still, so that two models do not take
 * turns in one memory. Needs no learned speeds, hence right from the first request on.
 */
import type { Candidate, Ranked, RouteRequest } from './policy.ts'
import { mixOf, place, residencyReason } from './ranking.ts'

/**
 * Load by which a node without the model looks busier. Below 1, because a full holder counts 1 while the gateway bounds
 * what it sends: a larger figure would never spread a model. Above 7 / 8: with up to 8 slots an idle node without the
 * model never draws a request from a holder that has a free slot.
 */
const coldLoad = 0.9
/** A load under way costs the less, the nearer its end; never less than this. */
const loadingLoad = 0.1
/** Load per reload of another model that ours would cause: the load itself, and the line that waits behind it. */
const evictionLoad = 2
/** Load per request of another model under way on the node: it has slots of its own but the same processor. */
const neighbourLoad = 0.15
/** Neighbours alone never make a holder look full. */
const neighbourLoadMax = 0.5

export function leastLoaded<C extends Candidate>(candidates: readonly C[], request: RouteRequest): readonly Ranked<C>[] {
  const mix = mixOf(candidates)
  const lineLoad = mix.warmSlots === 0 ? 0 : (request.queuedAhead ?? 0) / mix.warmSlots
  const ranking: Ranked<C>[] = []
  for (const candidate of candidates) {
    place(ranking, { candidate, cost: loadOf(candidate, lineLoad), reason: residencyReason(candidate, mix) })
  }
  return ranking
}

/** Requests per slot, the surcharges included. `lineLoad`: requests waiting before ours, per slot that will serve them. */
function loadOf(candidate: Candidate, lineLoad: number): number {
  const neighbours = candidate.nodeInFlight - candidate.inFlight
  const load = (candidate.inFlight + candidate.penalty) / candidate.slots + Math.min(neighbourLoadMax, neighbourLoad * neighbours)
  switch (candidate.residency) {
    case 'resident':
      return load + lineLoad
    case 'loading':
      return load + lineLoad + loadingLoad + (coldLoad - loadingLoad) * shareOfLoad(candidate, candidate.loadRemainingMs)
    case 'cold':
      return load + coldLoad + evictionLoad * shareOfLoad(candidate, candidate.evictionMs)
  }
}

function shareOfLoad({ loadMs }: Candidate, ms: number): number {
  return loadMs > 0 ? ms / loadMs : 0
}
