/** What one look at the nodes of a model is told as, for a request that asked why: plain copies, since runners live on. */
import type { ExplainedCandidate, Explanation } from '../core/explanation.ts'
import type { Attempt } from './attempt.ts'
import type { Claim } from './claim.ts'
import type { FleetNode } from './node.ts'
import type { Ranked } from './policy/policy.ts'
import type { Pool } from './pool.ts'
import type { Runner } from './runner.ts'
import type { Waiter } from './waiting-line.ts'
import type { Wish } from './wish.ts'

/** A look, before anything follows from it. */
export interface Look {
  readonly pool: Pool<Waiter>
  /** Nodes outside of the pool. */
  readonly beside: readonly FleetNode[]
  readonly wish: Wish
  readonly policy: string
  readonly ranking: readonly Ranked<Runner>[]
  readonly waitedMs: number
  readonly queuedAhead: number
  readonly nowMs: number
}

/** Copies what was seen now; the result notes it with what came of it. */
export function explainLook(
  explanation: Explanation,
  { pool, beside, wish, policy, ranking, waitedMs, queuedAhead, nowMs }: Look,
): (claim: Claim | null) => void {
  const candidates = ranking.map((ranked) => copyOf(ranked, wish))
  const ranked = new Set(ranking.map(({ candidate }) => candidate))
  const passedOver = [
    ...pool.runners
      .filter((runner) => !ranked.has(runner))
      .map((runner) => ({ node: runner.node, why: whyPassedOver(runner, wish, nowMs) })),
    ...beside.map((node) => ({ node: node.name, why: whyOut(node) ?? 'does not hold the model' })),
  ]
  return (claim) => {
    const node = claim?.runner.node ?? null
    const reason = claim?.reason ?? null
    const seen = { model: pool.model, policy, node, reason, waitedMs: Math.round(waitedMs), queuedAhead, candidates, passedOver }
    explanation.note({ kind: 'choice', ...seen }, nowMs)
  }
}

function copyOf({ candidate: runner, cost, reason }: Ranked<Runner>, wish: Wish): ExplainedCandidate {
  const { node, residency, inFlight, cachedTokens, penalty } = runner
  return {
    node,
    cost: Math.round(cost * 1_000) / 1_000,
    reason,
    residency,
    inFlight,
    slots: runner.bounded ? runner.slots : null,
    cachedTokens,
    loadRemainingMs: Math.round(runner.loadRemainingMs),
    loadMs: residency === 'resident' ? 0 : Math.round(runner.loadMs),
    evictionMs: Math.round(runner.evictionMs),
    penalty: Math.round(penalty * 1_000) / 1_000,
    blocked: whyBlocked(runner, wish),
  }
}

/** Why nothing could be sent there at that moment. */
function whyBlocked(runner: Runner, { runner: request }: Wish): string | null {
  if (!runner.isFree(request)) {
    if (runner.load !== null) return 'loading'
    if (runner.yieldTo !== null && runner.yieldTo !== request.fingerprint) return 'held for requests with other runner options'
    return runner.inFlight > 0 && !runner.isCompatible(request) ? 'busy with other runner options' : 'full'
  }
  const { lease } = runner
  if (lease !== null && !lease.allows(request.fingerprint)) return 'its runner options are held by another replica'
  return runner.residency === 'cold' ? 'the model has to be loaded first' : null
}

function whyPassedOver(runner: Runner, { tried }: Wish, nowMs: number): string {
  const { fleetNode, loadFailedUntilMs } = runner
  const out = whyOut(fleetNode)
  if (out !== null) return out
  if (tried.has(fleetNode.name)) return 'failed this request already'
  if (fleetNode.breaker.state(nowMs) === 'open') return 'ejected after failures'
  if (fleetNode.overloadedUntilMs > nowMs) return 'said that it is overloaded'
  if (loadFailedUntilMs > nowMs) return 'failed to load the model'
  return runner.hasFailedLately(nowMs) ? 'failed others lately' : 'has sent nobody anything since this request came'
}

function whyOut({ up, downReason, draining }: FleetNode): string | null {
  if (up === false) return `down: ${downReason ?? 'no answer'}`
  return draining ? 'draining' : null
}

/** Notes how one try ended. `cause`: what went wrong. */
export function explainAttempt(
  explanation: Explanation,
  { claim, startedAtMs, firstFrameAtMs }: Attempt,
  { outcome, cause, nowMs }: { outcome: string; cause: { kind: string; error: Error | null } | null; nowMs: number },
): void {
  const step = {
    kind: 'attempt' as const,
    node: claim.runner.node,
    startedAtMs: explanation.since(startedAtMs),
    firstFrameMs: firstFrameAtMs > 0 ? Math.round(firstFrameAtMs - startedAtMs) : null,
    durationMs: Math.round(nowMs - startedAtMs),
    outcome,
    failure: cause === null || cause.error === null ? null : { kind: cause.kind, message: cause.error.message },
  }
  explanation.note(step, nowMs)
}
