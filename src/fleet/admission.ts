/**
 * Who is sent where, and who waits. A request claims a place on a node; where none is free it waits in its pool's bounded,
 * fair line, because Ollama bounds nothing itself (ollama-contract.md §2.2). Every change that may free a place ends in
 * `wake`. The policy orders the nodes; this file enforces what no policy may break: slots, one fingerprint per busy
 * runner, loads started by the gateway itself, at most half of a pool ejected.
 */
import type { Clock } from '../base/clock.ts'
import { formatDuration } from '../base/units.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Ticket } from './breaker.ts'
import type { Affinity } from './learning.ts'
import type { Loader } from './loader.ts'
import type { LoadPricing } from './load-pricing.ts'
import type { FleetNode } from './node.ts'
import type { FleetOptions } from './options.ts'
import type { Policy, Ranked } from './policy/policy.ts'
import { anyModel, type Pool, type PoolTable } from './pool.ts'
import type { Runner } from './runner.ts'
import type { Wish } from './wish.ts'

/** A place on a node, held until the end of the answer. */
export interface Claim {
  readonly runner: Runner
  readonly ticket: Ticket | null
  readonly reason: string
  /** Requests of this model under way on the node, this one included. */
  readonly inFlightAtDispatch: number
  readonly waitedMs: number
}

export interface Waiter {
  readonly tenant: string
  readonly priority: Call['priority']
  readonly wish: Wish
  readonly call: Call
  readonly sinceMs: number
  resolve(claim: Claim): void
  reject(error: CorralError): void
  onAbort(): void
}

export interface AdmissionEvents {
  queued(pool: string, depth: number): void
  dequeued(pool: string, depth: number, waitedMs: number, priority: Call['priority']): void
  rejected(pool: string, reason: 'full' | 'deadline' | 'no_node'): void
}

export interface AdmissionDeps {
  readonly pools: PoolTable<Waiter>
  readonly loader: Loader
  readonly affinity: Affinity
  readonly pricing: LoadPricing
  readonly policy: () => Policy
  readonly options: () => FleetOptions
  readonly clock: Clock
  readonly random: () => number
  readonly events: AdmissionEvents
}

interface ClaimTry {
  readonly waitedMs: number
  /** Requests that stand before this one in the line. */
  readonly queuedAhead: number
  readonly nowMs: number
}

/** A waiting request whose runner options differ from those in use gets the gate after this long. */
const gatePatienceMs = 1_000
/** Waiters looked at per freed place: enough to pass those that other runner options hold back. */
const wakeScan = 32

export class Admission {
  readonly #deps: AdmissionDeps
  #choices = 0
  readonly #candidates: Runner[] = []

  constructor(deps: AdmissionDeps) {
    this.#deps = deps
  }

  /** A place for the request now, or a promise of one. Throws or rejects `queue_full`, `queue_timeout`, `no_node`, `client_gone`. */
  claim(wish: Wish, call: Call, retry: boolean): Claim | Promise<Claim> {
    const pool = this.#deps.pools.get(wish.model)
    const nowMs = this.#deps.clock.nowMs()
    if (!retry && pool.model !== anyModel) this.#deps.pricing.wanted(pool.model, nowMs)
    if (pool.queue.size === 0 || retry) {
      const claim = this.#tryClaim(pool, wish, { waitedMs: 0, queuedAhead: 0, nowMs })
      if (claim !== null) return claim
    }
    return this.#wait(pool, wish, call, { retry, nowMs })
  }

  #wait(pool: Pool<Waiter>, wish: Wish, call: Call, { retry, nowMs }: { retry: boolean; nowMs: number }): Promise<Claim> {
    const { events } = this.#deps
    if (pool.queue.full && !retry) {
      events.rejected(pool.model, 'full')
      throw this.#queueFull(pool)
    }
    return new Promise<Claim>((resolve, reject) => {
      const waiter: Waiter = {
        tenant: call.tenant,
        priority: call.priority,
        wish,
        call,
        sinceMs: nowMs,
        resolve,
        reject,
        onAbort: () => {
          if (pool.queue.remove(waiter)) reject(new CorralError('client_gone', 'the client left while queued'))
          events.dequeued(pool.model, pool.queue.size, this.#deps.clock.nowMs() - nowMs, call.priority)
        },
      }
      pool.queue.add(waiter, retry)
      call.progress.phase = 'queued'
      call.progress.queuePosition = pool.queue.size
      call.progress.etaMs = pool.etaMs(pool.queue.size)
      events.queued(pool.model, pool.queue.size)
      call.signal.on(waiter.onAbort)
    })
  }

  #queueFull(pool: Pool<Waiter>): CorralError {
    const { size, limit } = pool.queue
    const etaMs = pool.etaMs(size + 1)
    return new CorralError('queue_full', `the queue of ${pool.model} is full (${size} of ${limit} wait)`, {
      retryAfterMs: Math.max(1_000, etaMs),
      headers: { 'x-corral-queue-position': String(size + 1), 'x-corral-queue-eta-ms': String(etaMs) },
    })
  }

  /** A free place by the policy's order; null: wait. Throws `no_node` when nobody can serve at all. */
  #tryClaim(pool: Pool<Waiter>, wish: Wish, { waitedMs, queuedAhead, nowMs }: ClaimTry): Claim | null {
    this.#deps.pools.update(pool)
    const candidates = this.#eligible(pool, wish, nowMs)
    if (candidates.length === 0) throw this.#noNode(pool, wish)
    const ranking = this.#rank(candidates, wish, queuedAhead, nowMs)
    const [best] = ranking
    if (best !== undefined && !this.#deps.options().admission.enabled) return this.#take(best, { nowMs, waitedMs, only: false })
    for (const ranked of ranking) {
      const runner = ranked.candidate
      if (runner.isFree(wish.runner) && (runner.residency === 'resident' || this.#mayLoadInBand(runner, wish))) {
        return this.#take(ranked, { nowMs, waitedMs, only: candidates.length === 1 })
      }
      if (runner.residency === 'cold' && runner.isFree(wish.runner)) this.#startLoad(pool, runner, wish)
      else if (runner.residency === 'resident') return null
    }
    return null
  }

  #mayLoadInBand(runner: Runner, wish: Wish): boolean {
    return wish.direct || !runner.bounded || !this.#deps.options().loads.enabled
  }

  #rank(candidates: readonly Runner[], wish: Wish, queuedAhead: number, nowMs: number): readonly Ranked<Runner>[] {
    const { slowStartMs } = this.#deps.options().breaker
    const { conversationKey } = wish
    const memory = conversationKey === null ? null : this.#deps.affinity.find(conversationKey, nowMs)
    let peerSlots = 0
    for (const { stats, fleetNode } of candidates) {
      if (!stats.slotsLearned && fleetNode.options.slots === undefined && stats.slots > peerSlots) peerSlots = stats.slots
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

  /**
   * Nodes that may be asked. Overloaded ones and ones whose last load failed are left out while others remain; for a retry
   * also those on which others failed just now, so that few tries are enough when half of a pool fails at once. When more
   * than `ejectedShareMax` of the pool is ejected the breakers are ignored (panic mode, as Envoy does below 50 % healthy);
   * what failed last still looks busier to the policy.
   */
  #eligible(pool: Pool<Waiter>, wish: Wish, nowMs: number): readonly Runner[] {
    const eligible = this.#candidates
    eligible.length = 0
    let doubtful: Runner[] | null = null
    let ejected: Runner[] | null = null
    const hasTried = wish.tried.size > 0
    let usable = 0
    let open = 0
    for (const runner of pool.runners) {
      const node = runner.fleetNode
      if (node.up === false || node.draining) continue
      const isOpen = node.breaker.state(nowMs) === 'open'
      usable += 1
      if (isOpen) open += 1
      if (hasTried && wish.tried.has(node.name)) continue
      if (isOpen) (ejected ??= []).push(runner)
      else if (node.overloadedUntilMs > nowMs || runner.loadFailedUntilMs > nowMs) (doubtful ??= []).push(runner)
      else if (hasTried && runner.hasFailedLately(nowMs)) (doubtful ??= []).push(runner)
      else eligible.push(runner)
    }
    if (eligible.length > 0) {
      if (ejected !== null && open > usable * this.#deps.options().breaker.ejectedShareMax) eligible.push(...ejected)
      return eligible
    }
    if (doubtful !== null) return doubtful
    return ejected ?? eligible
  }

  /** Whether a node that this request has not tried, other than `except`, is up, not ejected and not overloaded. */
  canServe(wish: Wish, except: string | null = null): boolean {
    const nowMs = this.#deps.clock.nowMs()
    return this.#deps.pools.get(wish.model).runners.some(({ fleetNode: node }) => {
      const usable = node.up !== false && !node.draining && node.overloadedUntilMs <= nowMs
      return usable && node.name !== except && !wish.tried.has(node.name) && node.breaker.state(nowMs) !== 'open'
    })
  }

  #noNode(pool: Pool<Waiter>, wish: Wish): CorralError {
    this.#deps.events.rejected(pool.model, 'no_node')
    const reasons = pool.runners.map(({ fleetNode: node }) => `${node.name}: ${describeState(node, wish)}`)
    const any = pool.model === anyModel
    const holders = any ? 'no node' : `no node that holds ${pool.model}`
    const none = any ? 'none is configured' : 'all are draining, or the model was just deleted'
    const details = reasons.length === 0 ? none : reasons.join('; ')
    return new CorralError('no_node', `${holders} can answer now (${details})`, { retryAfterMs: 1_000 })
  }

  #take(ranked: Ranked<Runner>, { nowMs, waitedMs, only }: { nowMs: number; waitedMs: number; only: boolean }): Claim {
    const runner = ranked.candidate
    this.#choices += 1
    runner.lastChosen = this.#choices
    runner.inFlight += 1
    runner.use.inFlight += 1
    return {
      runner,
      ticket: runner.fleetNode.breaker.acquire(nowMs),
      reason: only ? 'only' : ranked.reason,
      inFlightAtDispatch: runner.inFlight,
      waitedMs,
    }
  }

  /** The request's fingerprint is now the one in use. Called when it is sent. */
  dispatched(claim: Claim, wish: Wish): void {
    const { runner } = claim
    if (runner.bounded) runner.fingerprint = wish.runner.fingerprint
    if (runner.yieldTo === wish.runner.fingerprint) runner.yieldTo = null
  }

  /** Gives the place back and lets the next one in. */
  release(claim: Claim): void {
    const { runner } = claim
    runner.inFlight -= 1
    runner.use.inFlight -= 1
    this.wake()
  }

  #startLoad(pool: Pool<Waiter>, runner: Runner, wish: Wish): void {
    let loading = 0
    const nowMs = this.#deps.clock.nowMs()
    for (const other of pool.runners) {
      if (other.load?.fingerprint === wish.runner.fingerprint && !other.isLoadOverdue(nowMs)) loading += other.slots
    }
    if (loading > pool.queue.size) return
    void this.#deps.loader.load(runner, wish).then((result) => {
      if (result !== 'loaded') this.#loadFailed(pool, wish, result)
      this.wake()
    })
  }

  #loadFailed(pool: Pool<Waiter>, wish: Wish, failure: CorralError): void {
    const { retriesMax } = this.#deps.options().retry
    wish.direct ||= failure.fault === 'client'
    for (const waiter of Array.from(pool.queue.inOrder())) {
      if (waiter.wish.runner.fingerprint !== wish.runner.fingerprint) continue
      if (failure.fault === 'client') waiter.wish.direct = true
      waiter.wish.loadFailures += 1
      if (waiter.wish.loadFailures > retriesMax && !this.#isHopeful(pool, waiter.wish)) this.#refuse(pool, waiter, failure)
    }
  }

  /** Whether some node holds the model, is loading it, or has not just failed to. */
  #isHopeful(pool: Pool<Waiter>, { tried }: Wish): boolean {
    const nowMs = this.#deps.clock.nowMs()
    return pool.runners.some((runner) => {
      const { up, draining, name } = runner.fleetNode
      return up !== false && !draining && !tried.has(name) && runner.loadFailedUntilMs <= nowMs && !runner.isLoadOverdue(nowMs)
    })
  }

  /** Hands freed places to those who wait. Cheap when nobody does. */
  wake(): void {
    for (const pool of this.#deps.pools.waiting()) this.#serve(pool)
  }

  #serve(pool: Pool<Waiter>): void {
    const nowMs = this.#deps.clock.nowMs()
    for (;;) {
      let served = false
      let scanned = 0
      for (const waiter of pool.queue.inOrder()) {
        served = this.#serveOne(pool, waiter, { waitedMs: nowMs - waiter.sinceMs, queuedAhead: scanned, nowMs })
        scanned += 1
        if (served || scanned >= wakeScan) break
      }
      if (!served) return
    }
  }

  /** True when the waiter left the line, with a place or a refusal. */
  #serveOne(pool: Pool<Waiter>, waiter: Waiter, attempt: ClaimTry): boolean {
    let claim: Claim | null
    try {
      claim = this.#tryClaim(pool, waiter.wish, attempt)
    } catch (error) {
      if (!(error instanceof CorralError)) throw error
      this.#refuse(pool, waiter, error)
      return true
    }
    if (claim === null) return false
    this.#leave(pool, waiter, true)
    waiter.resolve(claim)
    return true
  }

  #leave(pool: Pool<Waiter>, waiter: Waiter, served: boolean): void {
    pool.queue.remove(waiter, served)
    waiter.call.signal.off(waiter.onAbort)
    waiter.call.progress.queuePosition = 0
    waiter.call.progress.etaMs = null
    const waitedMs = this.#deps.clock.nowMs() - waiter.sinceMs
    this.#deps.events.dequeued(pool.model, pool.queue.size, waitedMs, waiter.priority)
  }

  #refuse(pool: Pool<Waiter>, waiter: Waiter, error: CorralError): void {
    this.#leave(pool, waiter, false)
    waiter.reject(error)
  }

  /** Regular upkeep of the lines: deadlines, places and ETAs, the gate for other runner options. */
  tick(nowMs: number): void {
    for (const pool of this.#deps.pools.waiting()) {
      this.#expire(pool, nowMs)
      this.#updateProgress(pool)
      this.#holdGate(pool, nowMs)
      this.#serve(pool)
    }
  }

  #expire(pool: Pool<Waiter>, nowMs: number): void {
    for (const waiter of Array.from(pool.queue.inOrder())) {
      if (nowMs < waiter.call.deadlineAtMs) continue
      this.#deps.events.rejected(pool.model, 'deadline')
      const waited = formatDuration(nowMs - waiter.sinceMs)
      const error = new CorralError('queue_timeout', `no node was free for ${pool.model} within ${waited}`, {
        retryAfterMs: Math.max(1_000, pool.etaMs(pool.queue.size)),
      })
      this.#refuse(pool, waiter, error)
    }
  }

  #updateProgress(pool: Pool<Waiter>): void {
    let position = 0
    for (const { call } of pool.queue.inOrder()) {
      position += 1
      call.progress.queuePosition = position
      call.progress.etaMs = pool.etaMs(position)
    }
  }

  /** Without this, a steady stream of one fingerprint would starve another for ever (verified notes §b, "Starvation"). */
  #holdGate(pool: Pool<Waiter>, nowMs: number): void {
    for (const waiter of pool.queue.inOrder()) {
      const { runner: request, tried } = waiter.wish
      if (nowMs - waiter.sinceMs < gatePatienceMs) continue
      const usable = pool.runners.filter((runner) => runner.fleetNode.up !== false && !tried.has(runner.node))
      if (usable.some((runner) => runner.yieldTo === request.fingerprint || runner.isCompatible(request))) continue
      const idlest = usable.toSorted((a, b) => a.inFlight - b.inFlight)[0]
      if (idlest !== undefined && idlest.yieldTo === null) idlest.yieldTo = request.fingerprint
    }
    for (const runner of pool.runners) if (runner.yieldTo !== null && !this.#isAwaited(pool, runner)) runner.yieldTo = null
  }

  #isAwaited(pool: Pool<Waiter>, runner: Runner): boolean {
    for (const { wish } of pool.queue.inOrder()) if (wish.runner.fingerprint === runner.yieldTo) return true
    return false
  }
}

function describeState(node: FleetNode, wish: Wish): string {
  if (node.up === false) return node.downReason ?? 'down'
  if (node.draining) return 'draining'
  if (wish.tried.has(node.name)) return 'failed this request'
  return 'no answer'
}
