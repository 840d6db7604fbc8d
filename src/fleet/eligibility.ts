/**
 * Which nodes of a pool a request may be sent to, and why there are none. Health is only read here: `up` by the probes, the
 * breaker, the operator's will, and what failed lately. Which of the eligible ones is best is the policy's to say.
 */
import { CorralError } from '../core/errors.ts'
import type { Waiter } from './waiting-line.ts'
import type { FleetNode } from './node.ts'
import { anyModel, type Pool } from './pool.ts'
import type { Runner } from './runner.ts'
import type { Wish } from './wish.ts'

export interface EligibleOptions {
  readonly nowMs: number
  /** Share of a pool over which ejections are no longer believed. */
  readonly ejectedShareMax: number
}

const nobody: readonly Runner[] = []

/** Nodes by how willingly they are asked. One per admission: each `of` writes over the last result, so that it costs no array. */
export class Eligibility {
  readonly #eligible: Runner[] = []
  #doubtful: Runner[] | null = null
  #ejected: Runner[] | null = null

  /**
   * Nodes that may be asked; valid until the next call. Overloaded ones and ones whose last load failed are left out while
   * others remain; for a retry also those on which others failed just now or wait as silently, so that few tries are enough when
   * half of a pool fails at once. When more than `ejectedShareMax` of the pool is ejected the breakers are ignored (panic mode, as Envoy
   * does below 50 % healthy); what failed last still looks busier to the policy.
   */
  of(pool: Pool<Waiter>, wish: Wish, { nowMs, ejectedShareMax }: EligibleOptions): readonly Runner[] {
    const eligible = this.#eligible
    eligible.length = 0
    this.#doubtful = null
    this.#ejected = null
    let usable = 0
    let open = 0
    for (const runner of pool.runners) {
      const node = runner.fleetNode
      if (node.up === false || node.draining) continue
      const isOpen = node.breaker.state(nowMs) === 'open'
      usable += 1
      if (isOpen) open += 1
      this.#sort(runner, wish, { isOpen, nowMs })
    }
    const ejected: readonly Runner[] = this.#ejected ?? nobody
    if (eligible.length === 0) return this.#doubtful ?? (ejected.length > 0 ? ejected : eligible)
    if (open > usable * ejectedShareMax) eligible.push(...ejected)
    return eligible
  }

  #sort(runner: Runner, { tried, silentSinceMs }: Wish, { isOpen, nowMs }: { isOpen: boolean; nowMs: number }): void {
    const node = runner.fleetNode
    const hasTried = tried.size > 0
    if (hasTried && tried.has(node.name)) return
    if (isOpen) (this.#ejected ??= []).push(runner)
    else if (node.overloadedUntilMs > nowMs || runner.loadFailedUntilMs > nowMs) (this.#doubtful ??= []).push(runner)
    else if (hasTried && isDoubtful(runner, silentSinceMs, nowMs)) (this.#doubtful ??= []).push(runner)
    else this.#eligible.push(runner)
  }
}

/**
 * Whether a request that failed elsewhere had better not come here. `sinceMs`: when it was given to a node that stayed silent,
 * if any; what is silent for half as long may have frozen with it.
 */
function isDoubtful(runner: Runner, sinceMs: number | null, nowMs: number): boolean {
  return runner.hasFailedLately(nowMs) || (sinceMs !== null && runner.isMuteSince((sinceMs + nowMs) / 2))
}

export interface OtherNodes {
  readonly nowMs: number
  /** Name of a node that does not count. */
  readonly except: string | null
}

/** Whether a node that the request has not tried, other than `except`, is up, not ejected and not overloaded. */
export function canServe({ runners }: Pool<Waiter>, wish: Wish, others: OtherNodes): boolean {
  return runners.some((runner) => isUntried(runner, wish, others))
}

/** The same, when in addition nobody failed there just now, nor waits there in silence as the request does since `silentSinceMs`. */
export function canMove({ runners }: Pool<Waiter>, wish: Wish, others: OtherNodes & { readonly silentSinceMs: number }): boolean {
  return runners.some((runner) => isUntried(runner, wish, others) && !isDoubtful(runner, others.silentSinceMs, others.nowMs))
}

function isUntried({ fleetNode: node }: Runner, { tried }: Wish, { nowMs, except }: OtherNodes): boolean {
  const usable = node.up !== false && !node.draining && node.overloadedUntilMs <= nowMs
  return usable && node.name !== except && !tried.has(node.name) && node.breaker.state(nowMs) !== 'open'
}

/** Whether some node holds the model, is loading it, or has not just failed to. */
export function canStillLoad({ runners }: Pool<Waiter>, { tried }: Wish, nowMs: number): boolean {
  return runners.some((runner) => {
    const { up, draining, name } = runner.fleetNode
    return up !== false && !draining && !tried.has(name) && runner.loadFailedUntilMs <= nowMs && !runner.isLoadOverdue(nowMs)
  })
}

/** The `no_node` error, which says of each node of the pool why it is not asked. */
export function noNodeError(pool: Pool<Waiter>, wish: Wish): CorralError {
  const reasons = pool.runners.map(({ fleetNode: node }) => `${node.name}: ${describeState(node, wish)}`)
  const any = pool.model === anyModel
  const node = pool.group === null ? 'no node' : `no node of the group ${pool.group}`
  const holders = any ? node : `${node} that holds ${pool.model}`
  const none = any ? 'none is configured' : pool.group === null ? 'all are draining, or the model was just deleted' : 'it has none'
  const details = reasons.length === 0 ? none : reasons.join('; ')
  return new CorralError('no_node', `${holders} can answer now (${details})`, { retryAfterMs: 1_000 })
}

function describeState(node: FleetNode, wish: Wish): string {
  if (node.up === false) return node.downReason ?? 'down'
  if (node.draining) return 'draining'
  if (wish.tried.has(node.name)) return 'failed this request'
  return 'no answer'
}
