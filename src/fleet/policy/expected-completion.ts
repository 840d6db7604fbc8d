/**
 * Sends a request where it is expected to end first, and charges it for the harm a load does to others: wait for a slot, prompt
 * tokens no cache covers, decode, load and loads ahead of it, price of what the load evicts. All figures are learned;
 * what is not known yet is taken equal on all nodes, which leaves least-loaded behaviour.
 */
import type { Candidate, Ranked, RouteRequest } from './policy.ts'
import { cacheReason, mixOf, place } from './ranking.ts'

/** Speeds taken where no node has been measured: those of a mid-size model on one consumer GPU. */
const assumedPrefillMsPerToken = 1
const assumedDecodeMsPerToken = 20
/** Share by which each stream slows down when one more runs on the same node. */
const crowdingPerStream = 0.15
/** A node in doubt looks as if this many milliseconds per unit of penalty had to be waited for, at least. */
const penaltyFloorMs = 1_000
/** Weight of the eviction price. */
const evictionWeight = 1

export function expectedCompletion<C extends Candidate>(candidates: readonly C[], request: RouteRequest): readonly Ranked<C>[] {
  const mix = mixOf(candidates)
  const prefillMsPerToken = meanKnown(candidates, 'prefillMsPerToken') ?? assumedPrefillMsPerToken
  const decodeMsPerToken = meanKnown(candidates, 'decodeMsPerToken') ?? assumedDecodeMsPerToken
  const ranking: Ranked<C>[] = []
  for (const candidate of candidates) {
    const cost = costMs(candidate, request, candidate.prefillMsPerToken ?? prefillMsPerToken, candidate.decodeMsPerToken ?? decodeMsPerToken)
    place(ranking, { candidate, cost, reason: cacheReason(candidate, mix) })
  }
  return ranking
}

function costMs(candidate: Candidate, request: RouteRequest, prefillMsPerToken: number, decodeMsPerToken: number): number {
  const resident = candidate.residency === 'resident'
  const uncovered = Math.max(0, request.promptTokens - (resident ? candidate.cachedTokens : 0))
  const ownMs = uncovered * prefillMsPerToken + request.outputTokens * decodeMsPerToken
  const crowding = 1 + crowdingPerStream * candidate.nodeInFlight
  const doubtMs = candidate.penalty * (penaltyFloorMs + ownMs)
  return waitMs(candidate, ownMs) + ownMs * crowding + absentMs(candidate) + doubtMs
}

/** Until a slot is free: as many requests must end as stand before ours, at the rate of all slots together. */
function waitMs(candidate: Candidate, ownMs: number): number {
  const { inFlight, slots } = candidate
  if (inFlight < slots) return 0
  const meanLeftMs = candidate.pendingMs > 0 ? candidate.pendingMs / inFlight : ownMs / 2
  return ((inFlight - slots + 1) * meanLeftMs) / slots
}

/** What it takes, and what it costs others, to bring the model into memory. */
function absentMs(candidate: Candidate): number {
  switch (candidate.residency) {
    case 'resident':
      return 0
    case 'loading':
      return candidate.loadRemainingMs
    case 'cold':
      return candidate.loaderBacklogMs + candidate.loadMs + evictionWeight * candidate.evictionMs
  }
}

function meanKnown(candidates: readonly Candidate[], figure: 'prefillMsPerToken' | 'decodeMsPerToken'): number | null {
  let sum = 0
  let known = 0
  for (const candidate of candidates) {
    const value = candidate[figure]
    if (value === null) continue
    sum += value
    known += 1
  }
  return known === 0 ? null : sum / known
}
