// Builds candidates for the policy tests: an idle node that holds the model, with what a test cares about changed.

import type { Candidate, RouteRequest } from '../../src/fleet/policy/policy.ts'

export type Writable = { -readonly [Field in keyof Candidate]: Candidate[Field] }

export const request: RouteRequest = { promptTokens: 1_000, outputTokens: 200 }

export function candidate(node: string, change: Partial<Candidate> = {}): Writable {
  const inFlight = change.inFlight ?? 0
  return {
    node,
    inFlight,
    nodeInFlight: inFlight,
    slots: 1,
    residency: 'resident',
    loadRemainingMs: 0,
    loaderBacklogMs: 0,
    lastChosen: 0,
    penalty: 0,
    pendingMs: inFlight * 2_500,
    loadMs: 10_000,
    prefillMsPerToken: 1,
    decodeMsPerToken: 20,
    cachedTokens: 0,
    evictionMs: 0,
    ...change,
  }
}

/** Random is not used by either policy; a call would be noticed. */
export function noRandom(): number {
  throw new Error('a policy asked for a random number')
}
