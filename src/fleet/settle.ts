/**
 * Whose fault an end was, and what follows for health and learning (ARCHITECTURE, "Whose fault"). Overload is not illness,
 * a stale catalogue is not illness, a client that leaves is nobody's fault unless the node had gone silent first; streams that
 * break count most.
 */
import type { Clock } from '../base/clock.ts'
import type { CorralError } from '../core/errors.ts'
import { unloads } from '../wire/keep-alive.ts'
import type { Attempt } from './attempt.ts'
import type { Failure, StreamEnd } from './attempt-report.ts'
import type { Catalogue } from './catalogue.ts'
import type { Affinity } from './learning.ts'
import type { FleetNode } from './node.ts'

export interface SettleDeps {
  readonly clock: Clock
  readonly catalogue: Catalogue
  readonly affinity: Affinity
  readonly tracksConversations: () => boolean
  /** A connection to the node was refused: it is down until a probe succeeds. */
  readonly connectFailed: (node: FleetNode, reason: string) => void
}

const reasonLengthMax = 300
/** An overloaded node is passed over for this long, doubled each time in a row. */
const overloadMs = 250
const overloadMsMax = 10_000

/** After a stream, or a try that its client left. */
export function settleStream(deps: SettleDeps, attempt: Attempt, end: StreamEnd): void {
  const nowMs = deps.clock.nowMs()
  const { ticket, runner } = attempt.claim
  switch (end.kind) {
    case 'ok':
      ticket?.settle('ok', nowMs)
      learn(deps, attempt, nowMs)
      return
    case 'broken':
      ticket?.settle('broken_stream', nowMs)
      runner.noteFailure(nowMs)
      noteReason(attempt, end.error, nowMs)
      if (end.runnerDied === true) runner.diedAtMs = nowMs
      return
    case 'client_gone':
      settleLeft(deps, attempt)
      return
    case 'silent':
    case 'client_too_slow':
      ticket?.settle('neutral', nowMs)
  }
}

/**
 * After a try that its client left. Clients with a timeout shorter than the last deadline would hide a hang for as long as it
 * lasts, and come back to it each time: when the node was silent past its budget, leaving it is what its deadline would say.
 */
function settleLeft({ clock }: SettleDeps, attempt: Attempt): void {
  const nowMs = clock.nowMs()
  const { ticket, runner } = attempt.claim
  const blamed = attempt.isLeftForSilence(nowMs)
  ticket?.settle(blamed ? 'fail' : 'neutral', nowMs)
  if (blamed) runner.noteFailure(nowMs)
}

/** Why a call is given up when a copy of it, sent later to another node, was answered first. */
export const outrun = Symbol('outrun by its copy')

/**
 * After a try that was outrun. A node that was silent past its own expectation is hung, as if its deadline had found it. One
 * that is only slower than others is not ill and never ejected for it, but looks busier for a while, so that what follows
 * goes to the faster ones. Nothing is counted for a good answer: there was none.
 */
export function settleOutrun(deps: SettleDeps, attempt: Attempt): void {
  const nowMs = deps.clock.nowMs()
  const { ticket, runner } = attempt.claim
  ticket?.settle(attempt.isHung(nowMs) ? 'fail' : 'neutral', nowMs)
  runner.noteFailure(nowMs)
}

/** After a complete body. */
export function settleWhole(deps: SettleDeps, attempt: Attempt): void {
  const nowMs = deps.clock.nowMs()
  attempt.claim.ticket?.settle('ok', nowMs)
  learn(deps, attempt, nowMs)
}

function learn(deps: SettleDeps, attempt: Attempt, nowMs: number): void {
  const { usage, request, claim } = attempt
  const { runner } = claim
  runner.fleetNode.lastSeenMs = nowMs
  runner.overloads = 0
  runner.diedAtMs = -Infinity
  const { envelope } = request
  runner.lastServedMs = unloads(request) ? -Infinity : nowMs
  if (!runner.bounded || envelope.empty || request.route.operation === 'other') return
  runner.stats.observe(usage, {
    nowMs,
    // What stands still takes no slot from others.
    inFlightAtDispatch: Math.max(1, claim.inFlightAtDispatch - runner.standingAt(nowMs)),
    durationMs: nowMs - attempt.startedAtMs,
    promptTokensEstimated: envelope.promptTokens,
  })
  const conversationKey = usage === null || !deps.tracksConversations() ? null : envelope.conversationKey
  if (conversationKey !== null && usage !== null) {
    const tokens = (usage.promptTokens ?? 0) + (usage.outputTokens ?? 0)
    deps.affinity.note(conversationKey, { node: runner.node, tokens, nowMs })
  }
}

/** After a try that failed before its first frame. */
export function settleFailure(deps: SettleDeps, attempt: Attempt, failure: Failure): void {
  const nowMs = deps.clock.nowMs()
  const { ticket, runner } = attempt.claim
  const node = runner.fleetNode
  switch (failure.kind) {
    case 'client':
    case 'cloud':
    case 'missing_route':
    case 'bad_tool_call':
    case 'too_large':
      ticket?.settle('ok', nowMs)
      return
    case 'overload':
      ticket?.settle('neutral', nowMs)
      node.overloadedUntilMs = nowMs + Math.min(overloadMsMax, overloadMs * 2 ** runner.overloads)
      runner.overloads += 1
      return
    case 'missing_model':
      ticket?.settle('neutral', nowMs)
      if (runner.bounded) deps.catalogue.noteMissing(node, attempt.claim.model, nowMs)
      return
    case 'local':
      ticket?.settle('neutral', nowMs)
      return
    case 'connect':
      ticket?.settle('fail', nowMs)
      noteReason(attempt, failure.error, nowMs)
      deps.connectFailed(node, failure.error.message)
      return
    case 'reset':
    case 'timeout':
    case 'protocol':
    case 'truncated':
    case 'stalled':
    case 'runner_died':
    case 'load_failed':
    case 'out_of_memory':
    case 'other':
      ticket?.settle(failure.reusedSocket ? 'neutral' : 'fail', nowMs)
      if (!failure.reusedSocket) {
        runner.noteFailure(nowMs)
        noteReason(attempt, failure.error, nowMs)
      }
      if (failure.kind === 'out_of_memory') forgetResidency(attempt)
      if (failure.kind === 'runner_died') runner.diedAtMs = nowMs
  }
}

/** For whoever looks at the node: what it was that failed last. */
function noteReason({ claim }: Attempt, error: CorralError | null, atMs: number): void {
  if (error !== null) claim.runner.fleetNode.lastFailure = { reason: error.message.slice(0, reasonLengthMax), atMs }
}

/** A run-time out-of-memory expires every model of the node (ollama-contract.md §2.5). */
function forgetResidency(attempt: Attempt): void {
  for (const runner of attempt.claim.runner.use.runners.values()) runner.lastServedMs = -Infinity
}
