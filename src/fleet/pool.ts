/**
 * The nodes that hold a model, as runners, with the line of requests that wait for one of them. Pools follow the catalogue:
 * they are rebuilt when its version moves. Requests that name no model, or one that no node is known to hold, share one
 * unbounded pool over all nodes: there a node gives the exact error of a real server. Callers held to a group of nodes have
 * pools of their own over these, with a line of their own, so that nobody waits behind those who wait for other nodes; pools
 * that share nodes take turns.
 */
import type { Clock } from '../base/clock.ts'
import type { Catalogue, ResolvedModel } from './catalogue.ts'
import { FairQueue, type Waiting } from './fair-queue.ts'
import { ModelStats } from './learning.ts'
import type { RunnerLeases } from './leases.ts'
import { type FleetNode, runnerModelOn } from './node.ts'
import type { FleetOptions } from './options.ts'
import { NodeUse, Runner, unread } from './runner.ts'
import type { RunnerLease } from './runner-lease.ts'

export class Pool<W extends Waiting> {
  /** Canonical model name after aliases; `*` for the unbounded pool. */
  readonly model: string
  /** Only nodes of this group; null: all. */
  readonly group: string | null
  readonly queue: FairQueue<W>
  runners: readonly Runner[] = []
  catalogueVersion = -1

  constructor(model: string, group: string | null, queueMax: () => number) {
    this.model = model
    this.group = group
    this.queue = new FairQueue<W>(queueMax)
  }

  /** Generations that the whole pool runs at once. */
  get slots(): number {
    let slots = 0
    for (const runner of this.runners) if (runner.fleetNode.up !== false) slots += runner.slots
    return slots
  }

  /** Mean milliseconds of a request here, over the runners that know it; 1 s until one does. */
  get requestMs(): number {
    let sum = 0
    let known = 0
    for (const { stats } of this.runners) {
      if (stats.requestMs === null) continue
      sum += stats.requestMs
      known += 1
    }
    return known === 0 ? 1_000 : sum / known
  }

  /** Estimated milliseconds until the waiting request at 1-based `position` is dispatched. */
  etaMs(position: number): number {
    return Math.ceil((position * this.requestMs) / Math.max(1, this.slots))
  }
}

export interface PoolTableOptions {
  readonly catalogue: Catalogue
  readonly nodes: () => readonly FleetNode[]
  readonly clock: Clock
  readonly options: () => FleetOptions
  /** What this process may use of the slots that a node is said to have; left out: all. */
  readonly slotsShare?: (slots: number) => number
  /** Left out or null: no other replica asks these nodes. */
  readonly leases?: RunnerLeases | null
  /** The weights behind a manifest digest, null while unknown. Left out: each digest has its own. */
  readonly weightsOf?: ConstructorParameters<typeof NodeUse>[0]
}

/** Name of the pool for requests without a known model. */
export const anyModel = '*'

export class PoolTable<W extends Waiting> {
  readonly #deps: PoolTableOptions
  readonly #pools = new Map<string, Pool<W>>()
  readonly #uses = new Map<FleetNode, NodeUse>()
  /** Whether any two pools have a runner in common. */
  #overlapping = false

  constructor(deps: PoolTableOptions) {
    this.#deps = deps
  }

  /** The pool that serves `model` now (null: any node) to callers of `group` (null: on every node). */
  get(model: string | null, group: string | null = null): Pool<W> {
    const { catalogue } = this.#deps
    const cached = model === null ? undefined : this.#pools.get(keyOf(model, group))
    if (cached !== undefined && cached.catalogueVersion === catalogue.version) return cached
    const resolved = model === null ? null : catalogue.resolve(model, group)
    if (resolved === null || !resolved.known) return this.#anyPool(group)
    return this.#refresh(model ?? anyModel, resolved, group)
  }

  /** The nodes that hold `model`, to be asked without a load and without a slot. Nobody waits in such a pool, so that none is kept. */
  holders(model: string, group: string | null): Pool<W> {
    const { known, name, holders } = this.#deps.catalogue.resolve(model, group)
    if (!known) return this.#anyPool(group)
    const pool = new Pool<W>(name, group, () => 0)
    pool.runners = inGroup(holders, group).map((node) => this.runner(node, anyModel, false))
    return pool
  }

  #anyPool(group: string | null): Pool<W> {
    const cached = this.#pools.get(keyOf(anyModel, group))
    if (cached !== undefined && cached.catalogueVersion === this.#deps.catalogue.version) return cached
    return this.#refresh(anyModel, null, group)
  }

  #refresh(name: string, resolved: ResolvedModel | null, group: string | null): Pool<W> {
    const key = keyOf(name, group)
    let pool = this.#pools.get(key)
    if (pool === undefined) {
      pool = new Pool<W>(resolved?.name ?? anyModel, group, () => this.#deps.options().admission.queueMax)
      // Groups come from credentials: one that no node has is not remembered, since nobody can wait there.
      if (group === null || this.#deps.nodes().some(({ options }) => options.group === group)) this.#pools.set(key, pool)
      this.#overlapping ||= group !== null
    }
    this.#fill(pool, resolved)
    return pool
  }

  /** `resolved`: null for any model. */
  #fill(pool: Pool<W>, resolved: ResolvedModel | null): void {
    const holders = resolved?.holders ?? this.#deps.nodes()
    pool.runners = inGroup(holders, pool.group).map((node) => this.runner(node, resolved?.name ?? anyModel, resolved !== null))
    for (const runner of pool.runners) runner.peers = pool.runners
    pool.catalogueVersion = this.#deps.catalogue.version
  }

  use(node: FleetNode): NodeUse {
    let use = this.#uses.get(node)
    if (use === undefined) {
      use = new NodeUse(this.#deps.weightsOf)
      this.#uses.set(node, use)
    }
    return use
  }

  /** The runner of `model` on `node`. Names with the same weights share one runner in the node. */
  runner(node: FleetNode, model: string, bounded: boolean): Runner {
    const use = this.use(node)
    const keyOfName = (name: string): string => use.keyOf(runnerModelOn(node, name))
    const key = bounded ? keyOfName(model) : anyModel
    const known = use.runners.get(key)
    if (known !== undefined) {
      this.#overlapping ||= known.model !== model
      // The name that it has may be gone, or pulled anew and another model's.
      if (bounded && keyOfName(known.model) !== key) known.model = model
      return known
    }
    const { options, slotsShare = (slots: number) => slots } = this.#deps
    const stats = new ModelStats({
      slotsConfigured: node.options.slots === undefined ? null : slotsShare(node.options.slots),
      get slotsAssumed() {
        return options().admission.slotsAssumed
      },
      get slotsMax() {
        return options().admission.slotsMax
      },
    })
    const runner = new Runner(node, model, use, stats, bounded)
    this.#place(use, key, runner)
    return runner
  }

  #place(use: NodeUse, key: string, runner: Runner): void {
    if (runner.bounded) runner.lease = this.#deps.leases?.of(runner, runner.fleetNode.options.url, key) ?? null
    use.runners.set(key, runner)
  }

  /**
   * The weights behind a digest became known: on each node what was its runner is that of the weights from now on. Where another
   * digest's is that already the busier one stays; what runs on the other one ends there.
   */
  join(digest: string, weights: string): void {
    for (const use of this.#uses.values()) {
      const runner = use.runners.get(digest)
      if (runner === undefined) continue
      use.runners.delete(digest)
      const other = use.runners.get(weights)
      if (other !== undefined && other.inFlight >= runner.inFlight) {
        runner.lease?.release()
        continue
      }
      other?.lease?.release()
      runner.lease?.release()
      // Named without the options of its Modelfile: nothing is sent beside what runs so.
      runner.fingerprint = runner.inFlight === 0 ? null : unread
      this.#place(use, weights, runner)
    }
  }

  /** The node went down or is another one: what it had in memory is unknown again, and a load there may never be answered. */
  forgetResidency(node: FleetNode): void {
    for (const runner of this.use(node).runners.values()) {
      runner.loadSignal?.abort('the node went down or was replaced')
      runner.lastServedMs = -Infinity
      runner.fingerprint = null
    }
  }

  /** Nodes that callers of the pool's group may be served by, but that are not in it: they hold no such model, or are out of use. */
  beside(pool: Pool<W>): readonly FleetNode[] {
    const inside = new Set(pool.runners.map(({ fleetNode }) => fleetNode))
    return this.#deps.nodes().filter((node) => !inside.has(node) && (pool.group === null || node.options.group === pool.group))
  }

  /** The options changed: what peers were believed to run before is asked anew by the next request. */
  forgetPeerSlots(): void {
    for (const { runners } of this.#uses.values()) for (const runner of runners.values()) runner.peerSlots = 0
  }

  /** Forgets a removed node. */
  drop(node: FleetNode): void {
    this.#uses.delete(node)
  }

  /** Somebody of `pool` got a place: of the pools that share its nodes others come first next time. */
  served(pool: Pool<W>): void {
    if (!this.#overlapping) return
    for (const [key, each] of this.#pools) {
      if (each !== pool) continue
      this.#pools.delete(key)
      this.#pools.set(key, pool)
      return
    }
  }

  /** The leases of all runners. */
  *leases(): Generator<RunnerLease> {
    for (const { runners } of this.#uses.values()) {
      for (const { lease } of runners.values()) if (lease !== null) yield lease
    }
  }

  /** Pools in which somebody waits. */
  *waiting(): Generator<Pool<W>> {
    for (const pool of this.#pools.values()) if (pool.queue.size > 0) yield pool
  }

  *all(): Generator<Pool<W>> {
    yield* this.#pools.values()
  }

  /** How many requests wait in all queues. */
  countQueued(): number {
    let queued = 0
    for (const { queue } of this.#pools.values()) queued += queue.size
    return queued
  }

  /**
   * Brings a pool with waiters up to date after the catalogue moved. Where no node is known to hold the model any more, its
   * waiters may ask any node, as if they had come now.
   */
  update(pool: Pool<W>): void {
    if (pool.catalogueVersion === this.#deps.catalogue.version) return
    const resolved = pool.model === anyModel ? null : this.#deps.catalogue.resolve(pool.model, pool.group)
    this.#fill(pool, resolved?.known === true ? resolved : null)
  }
}

function inGroup(nodes: readonly FleetNode[], group: string | null): readonly FleetNode[] {
  return group === null ? nodes : nodes.filter(({ options }) => options.group === group)
}

/** No model's name has a NUL in it. */
function keyOf(model: string, group: string | null): string {
  return group === null ? model : `${model}\0${group}`
}
