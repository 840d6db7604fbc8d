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
/**
 * Share of our own time that each request under way on the node adds: with a rate of k^-0.7 per stream about 0.5 for our
 * own slowing down, and a little for the slowing of the others.
 */
const crowdingPerStream = 0.6
/** A node in doubt looks as if this many milliseconds per unit of penalty had to be waited for, at least. */
const penaltyFloorMs = 1_000
/** A load pushed out is loaded again later and then pushes out another, while all behind it in the loader wait. */
const evictionWeight = 3

export function expectedCompletion<C extends Candidate>(candidates: readonly C[], request: RouteRequest): readonly Ranked<C>[] {
  const mix = mixOf(candidates)
  const line = lineOf(candidates, mix.warmSlots === 0 ? 0 : (request.queuedAhead ?? 0) / mix.warmSlots)
  const ranking: Ranked<C>[] = []
  for (const candidate of candidates) {
    place(ranking, { candidate, cost: costMs(candidate, request, line), reason: cacheReason(candidate, mix) })
  }
  return ranking
}

/** What concerns all candidates alike. */
interface Line {
  readonly prefillMsPerToken: number
  readonly decodeMsPerToken: number
  /** Requests waiting before ours, per slot that serves or soon will serve this model. */
  readonly aheadPerSlot: number
}

function lineOf(candidates: readonly Candidate[], aheadPerSlot: number): Line {
  let prefillMs = 0
  let prefillKnown = 0
  let decodeMs = 0
  let decodeKnown = 0
  for (const { prefillMsPerToken, decodeMsPerToken } of candidates) {
    if (prefillMsPerToken !== null) {
      prefillMs += prefillMsPerToken
      prefillKnown += 1
    }
    if (decodeMsPerToken !== null) {
      decodeMs += decodeMsPerToken
      decodeKnown += 1
    }
  }
  return {
    prefillMsPerToken: prefillKnown === 0 ? assumedPrefillMsPerToken : prefillMs / prefillKnown,
    decodeMsPerToken: decodeKnown === 0 ? assumedDecodeMsPerToken : decodeMs / decodeKnown,
    aheadPerSlot,
  }
}

function costMs(candidate: Candidate, request: RouteRequest, line: Line): number {
  const resident = candidate.residency === 'resident'
  const uncovered = Math.max(0, request.promptTokens - (resident ? candidate.cachedTokens : 0))
  const prefillMsPerToken = candidate.prefillMsPerToken ?? line.prefillMsPerToken
  const decodeMsPerToken = candidate.decodeMsPerToken ?? line.decodeMsPerToken
  const ownMs = uncovered * prefillMsPerToken + request.outputTokens * decodeMsPerToken
  const crowding = 1 + crowdingPerStream * candidate.nodeInFlight
  const doubtMs = candidate.penalty * (penaltyFloorMs + ownMs)
  const lineMs = candidate.residency === 'cold' ? 0 : line.aheadPerSlot * ownMs
  return waitMs(candidate, ownMs) + lineMs + ownMs * crowding + absentMs(candidate) + doubtMs
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
