/**
 * Who is sent where, and who waits. A request claims a place on a node; where none is free it waits in its pool's bounded,
 * fair line (`waiting-line.ts`), because Ollama bounds nothing itself (ollama-contract.md §2.2). Every change that may free a
 * place ends in `release` or `wake`. `eligibility.ts` says which nodes may be asked, the policy orders them; this file
 * enforces what no policy may break: slots, one fingerprint per busy runner, loads started by the gateway itself.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Claim } from './claim.ts'
import { canMove, canServe, canStillLoad, Eligibility, noNodeError } from './eligibility.ts'
import { explainLook } from './explain-choice.ts'
import type { Affinity } from './learning.ts'
import type { Loader } from './loader.ts'
import type { LoadPricing } from './load-pricing.ts'
import { loadedOn } from './node.ts'
import type { FleetOptions } from './options.ts'
import type { Policy, Ranked } from './policy/policy.ts'
import { anyModel, type Pool, type PoolTable } from './pool.ts'
import { type Runner, type RunnerRequest, unread } from './runner.ts'
import { type LineEvents, type Waiter, WaitingLine } from './waiting-line.ts'
import { modelOn, type Wish } from './wish.ts'

export interface AdmissionDeps {
  readonly pools: PoolTable<Waiter>
  readonly loader: Loader
  readonly affinity: Affinity
  readonly pricing: LoadPricing
  readonly policy: () => Policy
  readonly options: () => FleetOptions
  readonly clock: Clock
  readonly random: () => number
  readonly events: LineEvents
}

interface ClaimTry {
  readonly waitedMs: number
  /** Requests that stand before this one in the line. */
  readonly queuedAhead: number
  readonly nowMs: number
  readonly call: Call
}

/** Why waiters are looked at: one place was freed, or anything else has changed. */
type WakeReason = 'freed' | 'changed'

/** Waiters looked at per freed place: enough to pass those that other runner options hold back. */
const wakeScan = 32

export class Admission {
  readonly #deps: AdmissionDeps
  readonly #line: WaitingLine
  readonly #eligibility = new Eligibility()
  #choices = 0

  constructor(deps: AdmissionDeps) {
    this.#deps = deps
    this.#line = new WaitingLine(deps.events, deps.clock)
  }

  /** A place for the request now, or a promise of one. Throws or rejects `queue_full`, `queue_timeout`, `no_node`, `client_gone`. */
  claim(wish: Wish, call: Call, retry: boolean): Claim | Promise<Claim> {
    const pool = this.#poolOf(wish)
    const nowMs = this.#deps.clock.nowMs()
    if (!retry && wish.needsPlace && pool.model !== anyModel) this.#deps.pricing.wanted(pool.model, nowMs)
    if (pool.queue.size === 0 || retry) {
      const claim = this.#tryClaim(pool, wish, { waitedMs: 0, queuedAhead: 0, nowMs, call })
      if (claim !== null) return claim
    }
    return this.#line.join(pool, { wish, call, retry })
  }

  #poolOf({ model, nodeGroup, needsPlace }: Wish): Pool<Waiter> {
    const { pools } = this.#deps
    return model === null || needsPlace ? pools.get(model, nodeGroup) : pools.holders(model, nodeGroup)
  }

  /** A free place by the policy's order; null: wait. Throws `no_node` when nobody can serve at all. */
  #tryClaim(pool: Pool<Waiter>, wish: Wish, attempt: ClaimTry): Claim | null {
    const { nowMs, call } = attempt
    if (wish.needsPlace) this.#deps.pools.update(pool)
    const { ejectedShareMax } = this.#deps.options().breaker
    const candidates = this.#eligibility.of(pool, wish, { nowMs, ejectedShareMax })
    if (candidates.length === 0) {
      this.#deps.events.rejected(pool.model, 'no_node')
      throw noNodeError(pool, wish)
    }
    const ranking = this.#rank(wish.needsPlace ? candidates : preferLoaded(candidates, wish.model), wish, attempt)
    if (call.explanation === null) return this.#claimFirst(pool, wish, { ranking, attempt })
    const explain = explainLook(call.explanation, {
      ...attempt,
      pool,
      beside: this.#deps.pools.beside(pool),
      wish,
      policy: this.#deps.options().policy,
      ranking,
    })
    const claim = this.#claimFirst(pool, wish, { ranking, attempt })
    explain(claim)
    return claim
  }

  /** The best place that is free. Starts a load where one is wanted. */
  #claimFirst(
    pool: Pool<Waiter>,
    wish: Wish,
    { ranking, attempt: { nowMs, waitedMs } }: { readonly ranking: readonly Ranked<Runner>[]; readonly attempt: ClaimTry },
  ): Claim | null {
    const proven = wish.silentSinceMs === null ? undefined : findProven(ranking, wish, { silentSinceMs: wish.silentSinceMs, nowMs })
    const taking = { wish, nowMs, waitedMs }
    if (proven !== undefined) return this.#take(proven, { ...taking, only: ranking.length === 1 })
    const [best] = ranking
    if (best !== undefined && !this.#deps.options().admission.enabled) return this.#take(best, { ...taking, only: false })
    for (const ranked of ranking) {
      const runner = ranked.candidate
      const isResident = runner.residency === 'resident'
      if (this.#isOpen(pool, runner, wish)) {
        if (isResident || this.#mayLoadInBand(runner, wish)) return this.#take(ranked, { ...taking, only: ranking.length === 1 })
        this.#startLoad(pool, runner, wish)
      } else if (isResident) return null
    }
    return null
  }

  /** Whether nothing of this replica's or another's keeps the request, or a load for it, out now. What others do is asked for. */
  #isOpen(pool: Pool<Waiter>, runner: Runner, wish: Wish): boolean {
    if (!runner.isFree(wish.runner)) return false
    if (isLeft(runner, wish)) return true
    if (runner.residency === 'resident' || this.#mayLoadMore(pool, wish)) runner.lease?.ask(wish.runner)
    return false
  }

  #mayLoadInBand(runner: Runner, wish: Wish): boolean {
    return wish.direct || wish.misfit || !runner.bounded || !this.#deps.options().loads.enabled
  }

  #rank(candidates: readonly Runner[], wish: Wish, { queuedAhead, nowMs }: ClaimTry): readonly Ranked<Runner>[] {
    const { slowStartMs } = this.#deps.options().breaker
    const { conversationKey } = wish
    const memory = conversationKey === null ? null : this.#deps.affinity.find(conversationKey, nowMs)
    let peerSlots = 0
    for (const { stats } of candidates) {
      if (!stats.slotsLearned && !stats.slotsConfigured && stats.slots > peerSlots) peerSlots = stats.slots
    }
    for (const runner of candidates) {
      runner.peerSlots = peerSlots
      const cachedTokens = memory !== null && memory.node === runner.node ? memory.tokens : 0
      runner.view(wish.runner, { nowMs, slowStartMs, cachedTokens })
      if (runner.residency === 'cold') runner.priceLoad(this.#deps.pricing.price(runner, nowMs))
    }
    const route = queuedAhead === 0 ? wish.route : { ...wish.route, queuedAhead }
    return this.#deps.policy()(candidates, route, this.#deps.random)
  }

  /** Whether a node that this request has not tried, other than `except`, is up, not ejected and not overloaded. */
  canServe(wish: Wish, except: string | null = null): boolean {
    return canServe(this.#poolOf(wish), wish, { nowMs: this.#deps.clock.nowMs(), except })
  }

  /** Whether there is such a node that nothing speaks against: see `eligibility.ts`. */
  canMove(wish: Wish, from: { readonly except: string; readonly silentSinceMs: number }): boolean {
    return canMove(this.#poolOf(wish), wish, { ...from, nowMs: this.#deps.clock.nowMs() })
  }

  /** Nodes of this version are not asked for the request any more; null says nothing of any. */
  passOver(wish: Wish, version: string | null): void {
    if (version === null) return
    for (const { fleetNode } of this.#poolOf(wish).runners) {
      if (fleetNode.version === version) wish.tried.add(fleetNode.name)
    }
  }

  /** Nodes that may serve this request, whatever state they are in. */
  poolSize(wish: Wish): number {
    return this.#poolOf(wish).runners.length
  }

  #take(
    ranked: Ranked<Runner>,
    { wish, nowMs, waitedMs, only }: { readonly wish: Wish; readonly nowMs: number; readonly waitedMs: number; readonly only: boolean },
  ): Claim {
    const runner = ranked.candidate
    this.#choices += 1
    runner.lastChosen = this.#choices
    runner.inFlight += 1
    runner.use.inFlight += 1
    // What is to be refused proves nothing of what is in memory: until its end nobody joins it.
    if (wish.misfit && runner.bounded && runner.residency !== 'resident') runner.fingerprint = unread
    return {
      runner,
      model: modelOn(runner, wish),
      ticket: runner.fleetNode.breaker.acquire(nowMs),
      reason: only ? 'only' : ranked.reason,
      inFlightAtDispatch: runner.inFlight,
      waitedMs,
    }
  }

  /** The request's fingerprint is now the one in use. Called when it is sent. */
  dispatched(claim: Claim, wish: Wish): void {
    const { runner } = claim
    if (runner.bounded && !wish.misfit) runner.fingerprint = wish.runner.fingerprint
    if (runner.yieldTo === wish.runner.fingerprint) runner.yieldTo = null
  }

  /** Gives the place back and lets the next one in: those whom one freed place cannot help are not looked at. */
  release(claim: Claim): void {
    const { runner } = claim
    runner.inFlight -= 1
    runner.use.inFlight -= 1
    for (const pool of this.#deps.pools.waiting()) this.#serve(pool, 'freed')
    if (runner.inFlight === 0) runner.lease?.idle()
  }

  #startLoad(pool: Pool<Waiter>, runner: Runner, wish: Wish): void {
    if (!this.#mayLoadMore(pool, wish)) return
    void this.#deps.loader.load(runner, wish).then((result) => {
      if (result !== 'loaded') this.#loadFailed(pool, wish, result)
      // First those for whom it was loaded: others that share the runner may want it with other options.
      this.#serve(pool, 'changed')
      this.wake()
    })
  }

  /** Whether the loads under way and asked for will not serve all who wait. */
  #mayLoadMore(pool: Pool<Waiter>, { runner: { fingerprint } }: Wish): boolean {
    let loading = 0
    const nowMs = this.#deps.clock.nowMs()
    for (const other of pool.runners) {
      const isLoading = other.load?.fingerprint === fingerprint && !other.isLoadOverdue(nowMs)
      if (isLoading || other.lease?.isAskedFor(fingerprint) === true) loading += other.slots
    }
    return loading <= pool.queue.size
  }

  #loadFailed(pool: Pool<Waiter>, wish: Wish, failure: CorralError): void {
    const { retriesMax } = this.#deps.options().retry
    const nowMs = this.#deps.clock.nowMs()
    wish.direct ||= failure.fault === 'client'
    for (const waiter of Array.from(pool.queue.inOrder())) {
      if (waiter.wish.runner.fingerprint !== wish.runner.fingerprint) continue
      if (failure.fault === 'client') waiter.wish.direct = true
      waiter.wish.loadFailures += 1
      if (waiter.wish.loadFailures <= retriesMax || canStillLoad(pool, waiter.wish, nowMs)) continue
      const { progress } = waiter.call
      progress.node = failure.node
      progress.routeReason = 'cold'
      this.#line.refuse(pool, waiter, failure)
    }
  }

  /** Lets in whoever can be: after any change that may have made a place. Cheap when nobody waits. */
  wake(): void {
    for (const pool of this.#deps.pools.waiting()) this.#serve(pool, 'changed')
  }

  #serve(pool: Pool<Waiter>, why: WakeReason): void {
    const nowMs = this.#deps.clock.nowMs()
    while (this.#serveNext(pool, why, nowMs));
  }

  /**
   * Serves the first waiter who can be; false when none can. After a freed place a full pool is not looked at, nor are those
   * alike to one for whom no place is free: they would hear the same. What is overlooked so, such as a waiter whose last
   * node went down, the next `tick` finds.
   */
  #serveNext(pool: Pool<Waiter>, why: WakeReason, nowMs: number): boolean {
    const sparing = why === 'freed'
    if (sparing && pool.runners.every(isTaken)) return false
    let scanned = 0
    let hopeless: RunnerRequest | null = null
    for (const waiter of pool.queue.inOrder()) {
      const { wish } = waiter
      if (hopeless === null || !isAlike(wish, hopeless)) {
        if (this.#serveOne(pool, waiter, { waitedMs: nowMs - waiter.sinceMs, queuedAhead: scanned, nowMs, call: waiter.call })) return true
        if (sparing && !pool.runners.some((runner) => isInUse(runner) && runner.isFree(wish.runner))) hopeless = wish.runner
      }
      scanned += 1
      if (scanned >= wakeScan) return false
    }
    return false
  }

  /** True when the waiter left the line, with a place or a refusal. */
  #serveOne(pool: Pool<Waiter>, waiter: Waiter, attempt: ClaimTry): boolean {
    let claim: Claim | null
    try {
      claim = this.#tryClaim(pool, waiter.wish, attempt)
    } catch (error) {
      if (!(error instanceof CorralError)) throw error
      this.#line.refuse(pool, waiter, error)
      return true
    }
    if (claim === null) return false
    this.#line.serve(pool, waiter, claim)
    this.#deps.pools.served(pool)
    return true
  }

  /** Regular upkeep of the lines, and a look at everybody in them. */
  tick(nowMs: number): void {
    for (const pool of this.#deps.pools.waiting()) {
      this.#line.tick(pool, nowMs, this.#deps.pools)
      this.#serve(pool, 'changed')
    }
  }
}

/** Those that have the model in memory, if there are any: what needs no place may use it all the same. */
function preferLoaded(candidates: readonly Runner[], model: string | null): readonly Runner[] {
  if (model === null) return candidates
  const loaded = candidates.filter(({ fleetNode, use }) => loadedOn(fleetNode, model, (each) => use.keyOf(each)) !== null)
  return loaded.length > 0 ? loaded : candidates
}

/** Whether no other replica keeps the request out. */
function isLeft({ lease }: Runner, { runner: { fingerprint } }: Wish): boolean {
  return lease === null || lease.allows(fingerprint)
}

/**
 * The best free place where somebody was answered since a node took this request and stayed silent. Nodes that froze together
 * may have answered just after that: those count that were heard of about as late as any.
 */
function findProven(
  ranking: readonly Ranked<Runner>[],
  wish: Wish,
  { silentSinceMs, nowMs }: { readonly silentSinceMs: number; readonly nowMs: number },
): Ranked<Runner> | undefined {
  const latestMs = ranking.reduce((latest, { candidate }) => Math.max(latest, candidate.heardAtMs), -Infinity)
  const sinceMs = Math.max(silentSinceMs, latestMs - (nowMs - silentSinceMs) / 4)
  return ranking.find(({ candidate: runner }) => {
    if (runner.heardAtMs < sinceMs || runner.residency !== 'resident') return false
    return runner.isFree(wish.runner) && isLeft(runner, wish)
  })
}

/** Neither drained nor down. An ejected node is in use, for a panic may fill it. */
function isInUse({ fleetNode }: Runner): boolean {
  return fleetNode.up !== false && !fleetNode.draining
}

/** No request of any kind could be sent there now. */
function isTaken(runner: Runner): boolean {
  return !isInUse(runner) || runner.isFull()
}

/** Whether a request that was never tried elsewhere asks for a place of the same kind. */
function isAlike({ tried, runner }: Wish, { fingerprint, operation }: RunnerRequest): boolean {
  return tried.size === 0 && runner.fingerprint === fingerprint && runner.operation === operation
}
