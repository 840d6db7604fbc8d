/**
 * Order of candidates, common to all policies: smallest cost first; equals go to the one chosen longest ago, then by name, so
 * that the order never depends on the order in which candidates are handed in. Insertion keeps it free of closures and
 * of sort's own allocations: a pool has a handful of nodes.
 */
import type { Candidate, Ranked } from './policy.ts'

/** What the candidates have in common; decides the reason given for a place. */
export interface Mix {
  /** Some hold the model in memory. */
  readonly anyResident: boolean
  /** Some would have to load it, or are loading it. */
  readonly anyAbsent: boolean
  /** Some hold a part of this conversation. */
  readonly anyCached: boolean
  /** Slots of those that hold the model or are loading it. */
  readonly warmSlots: number
}

/** Looks once over all candidates. */
export function mixOf(candidates: readonly Candidate[]): Mix {
  let anyResident = false
  let anyAbsent = false
  let anyCached = false
  let warmSlots = 0
  for (const candidate of candidates) {
    if (candidate.residency === 'resident') anyResident = true
    else anyAbsent = true
    if (candidate.residency !== 'cold') warmSlots += candidate.slots
    if (candidate.cachedTokens > 0) anyCached = true
  }
  return { anyResident, anyAbsent, anyCached, warmSlots }
}

/** Puts one more place into an ordered ranking. */
export function place<C extends Candidate>(ranking: Ranked<C>[], ranked: Ranked<C>): void {
  let at = ranking.length
  ranking.push(ranked)
  while (at > 0) {
    const before = ranking[at - 1]
    if (before === undefined || !precedes(ranked, before)) break
    ranking[at] = before
    at -= 1
  }
  ranking[at] = ranked
}

function precedes(a: Ranked, b: Ranked): boolean {
  if (a.cost !== b.cost) return a.cost < b.cost
  if (a.candidate.lastChosen !== b.candidate.lastChosen) return a.candidate.lastChosen < b.candidate.lastChosen
  return a.candidate.node < b.candidate.node
}

/** Why a candidate stands where it stands, for a policy that knows load and residency only. */
export function residencyReason(candidate: Candidate, mix: Mix): 'loaded' | 'cold' | 'spill' | 'least-loaded' {
  if (candidate.residency !== 'resident') return mix.anyResident ? 'spill' : 'cold'
  return mix.anyAbsent ? 'loaded' : 'least-loaded'
}

/** The same for a policy that knows prefix caches too. */
export function cacheReason(candidate: Candidate, mix: Mix): 'affinity' | 'loaded' | 'cold' | 'spill' | 'least-loaded' {
  if (candidate.residency !== 'resident') return mix.anyResident ? 'spill' : 'cold'
  if (candidate.cachedTokens > 0) return 'affinity'
  if (mix.anyCached) return 'spill'
  return mix.anyAbsent ? 'loaded' : 'least-loaded'
}
