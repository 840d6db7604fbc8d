/**
 * What one request may still have of other nodes, and what each costs. Retries happen only before the first frame, on a node
 * not yet tried, inside the deadline, at most `retriesMax`, from one budget for the whole process.
 *
 * A refused connection, a keep-alive race, a model that a node lists and has not, a path that its version does not know, and a
 * 503 while others are well cost neither budget nor a try: no GPU worked for them. A reset within a second, and a node whose
 * runner answers nobody, cost neither on half of the pool, since it may be the request that kills its nodes or is read for so
 * long; beyond that they count as tries. The first lost connection, dead runner, malformed or cut answer of a request costs no
 * budget while others are well: what dies loses all of its requests at once, and only those, only once. A node that answers
 * others meanwhile is slow, not frozen: leaving it is paid.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import type { Admission } from './admission.ts'
import type { Attempt } from './attempt.ts'
import { type Failure, isIdleLoss } from './attempt-report.ts'
import type { FleetOptions } from './options.ts'
import type { RetryBudget } from './retry-budget.ts'
import type { Wish } from './wish.ts'

export interface RetryAccountDeps {
  readonly admission: Admission
  readonly budget: RetryBudget
  readonly clock: Clock
  readonly options: () => FleetOptions
}

/** What befalls all requests of a node at once, and is no request's own doing. */
const lostTogether: ReadonlySet<Failure['kind']> = new Set(['reset', 'runner_died', 'protocol', 'truncated'])
/** Keep-alive races that cost nothing: a node that closes its idle connections may lose several, and each is used up by one. */
const resendsMax = 3

export class RetryAccount {
  readonly #deps: RetryAccountDeps
  readonly #wish: Wish
  readonly #call: Call
  #retries = 0
  #budgetTaken = 0
  #resends = 0
  /** Tries that cost nothing though a node was given the request: resets at once, and silent runners. */
  #free = 0
  /** Nodes that were left because they sent nothing. Each next one is given twice the time. */
  silences = 0
  /** All lists were read anew for a model that nobody knows. */
  refreshed = false

  constructor(deps: RetryAccountDeps, wish: Wish, call: Call) {
    this.#deps = deps
    this.#wish = wish
    this.#call = call
  }

  /**
   * Whether a try that is silent for longer than expected is better given up. The move must not cost the request itself: while
   * the budget is spent it stays on a node that is only slow. What was moved before may simply be long, so that it moves
   * again only from a runner that nobody hears of, and to one that nothing speaks against.
   */
  shouldMove(attempt: Attempt): boolean {
    const { admission, budget } = this.#deps
    const { retry } = this.#deps.options()
    const nowMs = this.#deps.clock.nowMs()
    const { node } = attempt.claim.runner
    if (!retry.enabled || retry.retriesMax === 0 || nowMs >= this.#call.deadlineAtMs) return false
    const idle = attempt.isRunnerSilent(nowMs)
    const isFree = idle && this.#free < this.#freeMax()
    if (this.silences === 0 && this.#retries === 0) {
      return admission.canServe(this.#wish, node) && (isFree || (this.#hasTry(idle) && budget.canTake()))
    }
    if (!isFree) return false
    return admission.canMove(this.#wish, { except: node, silentSinceMs: attempt.startedAtMs })
  }

  /** Decides on another try and takes its price. */
  takeRetry(attempt: Attempt, failure: Failure): boolean {
    const { retry } = this.#deps.options()
    const nowMs = this.#deps.clock.nowMs()
    if (failure.retry === 'never' || !retry.enabled || nowMs >= this.#call.deadlineAtMs) return false
    if (failure.reusedSocket && this.#resends < resendsMax) {
      this.#resends += 1
      return true
    }
    this.#wish.tried.add(attempt.claim.runner.node)
    if (failure.kind === 'connect') return true
    // Each 404 takes its node out of the pool, each 503 its node out of the choice: neither can go on for long.
    if (failure.kind === 'missing_model') return attempt.claim.runner.bounded || (!this.refreshed && attempt.request.model !== null)
    if (failure.kind === 'missing_route' && attempt.request.route.placement === 'relay') return this.#findRoute(attempt)
    if (failure.kind === 'overload' && this.#deps.admission.canServe(this.#wish)) return true
    if (failure.kind === 'timeout') {
      this.silences += 1
      this.#wish.silentSinceMs = attempt.startedAtMs
    }
    return this.#takeTry(failure, isIdle(attempt, failure, nowMs))
  }

  /** Equal versions have equal routes, so that a path that nobody knows is asked of one node per version. */
  #findRoute({ claim: { runner } }: Attempt): boolean {
    this.#deps.admission.passOver(this.#wish, runner.fleetNode.version)
    return this.#deps.admission.canServe(this.#wish)
  }

  /** `idle`: no GPU is known to have worked for the try that failed. */
  #takeTry({ kind }: Failure, idle: boolean): boolean {
    if (idle && this.#takeFree()) return true
    if (!this.#hasTry(idle)) return false
    const forgiven = lostTogether.has(kind) && this.#retries === 0 && this.#deps.admission.canServe(this.#wish)
    if (!forgiven && !this.#takeBudget()) return false
    this.#retries += 1
    return true
  }

  /** A request that kills node after node must not have its free tries and the others, too. */
  #hasTry(idle: boolean): boolean {
    return this.#retries + (idle ? this.#free : 0) < this.#deps.options().retry.retriesMax
  }

  /** While half of the pool is well a request finds it. Each costs its node one of the failures until ejection. */
  #takeFree(): boolean {
    if (this.#free >= this.#freeMax() || !this.#deps.admission.canServe(this.#wish)) return false
    this.#free += 1
    return true
  }

  #freeMax(): number {
    return Math.max(1, Math.floor(this.#deps.admission.poolSize(this.#wish) / 2))
  }

  #takeBudget(): boolean {
    if (!this.#deps.budget.tryTake()) return false
    this.#budgetTaken += 1
    return true
  }

  /** The request is over: gives back what it holds of the budget. */
  end(): void {
    for (; this.#budgetTaken > 0; this.#budgetTaken -= 1) this.#deps.budget.release()
  }
}

/** A reset before a node can have done much, and a runner that sends nobody anything. */
function isIdle(attempt: Attempt, { kind }: Failure, nowMs: number): boolean {
  if (kind === 'timeout') return attempt.isRunnerSilent(nowMs)
  return kind === 'reset' && isIdleLoss({ status: attempt.status, sinceMs: nowMs - attempt.startedAtMs })
}
