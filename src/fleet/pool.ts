/**
 * The nodes that hold a model, as runners, with the line of requests that wait for one of them. Pools follow the catalogue:
 * they are rebuilt when its version moves. Requests that name no model, or one that no node is known to hold, share one
 * unbounded pool over all nodes: there a node gives the exact error of a real server.
 */
import type { Clock } from '../base/clock.ts'
import type { Catalogue } from './catalogue.ts'
import { FairQueue, type Waiting } from './fair-queue.ts'
import { ModelStats } from './learning.ts'
import type { FleetNode } from './node.ts'
import type { FleetOptions } from './options.ts'
import type { RunnerLeases } from './leases.ts'
import { NodeUse, Runner } from './runner.ts'

export class Pool<W extends Waiting> {
import type { RunnerLease } from './runner-lease.ts'
  /** Canonical model name after aliases; `*` for the unbounded pool. */
  readonly model: string
  readonly queue: FairQueue<W>
  runners: readonly Runner[] = []
  catalogueVersion = -1

  constructor(model: string, queueMax: () => number) {
    this.model = model
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
}

/** Name of the pool for requests without a known model. */
export const anyModel = '*'

  /** Left out or null: no other replica asks these nodes. */
  readonly leases?: RunnerLeases | null
export class PoolTable<W extends Waiting> {
  readonly #deps: PoolTableOptions
  readonly #pools = new Map<string, Pool<W>>()
  readonly #uses = new Map<FleetNode, NodeUse>()

  constructor(deps: PoolTableOptions) {
    this.#deps = deps
  }

  /** The pool that serves `model` now (null: any node). */
  get(model: string | null): Pool<W> {
    const { catalogue } = this.#deps
    const cached = model === null ? undefined : this.#pools.get(model)
    if (cached !== undefined && cached.catalogueVersion === catalogue.version) return cached
    const resolved = model === null ? null : catalogue.resolve(model)
    if (resolved === null || !resolved.known) return this.#anyPool()
    return this.#refresh(model ?? anyModel, resolved.name, resolved.holders, true)
  }

  #anyPool(): Pool<W> {
    const cached = this.#pools.get(anyModel)
    if (cached !== undefined && cached.catalogueVersion === this.#deps.catalogue.version) return cached
    return this.#refresh(anyModel, anyModel, this.#deps.nodes(), false)
  }

  #refresh(key: string, model: string, holders: readonly FleetNode[], bounded: boolean): Pool<W> {
    let pool = this.#pools.get(key)
    if (pool === undefined) {
      pool = new Pool<W>(model, () => this.#deps.options().admission.queueMax)
      this.#pools.set(key, pool)
    }
    pool.runners = holders.map((node) => this.runner(node, model, bounded))
    pool.catalogueVersion = this.#deps.catalogue.version
    return pool
  }

  use(node: FleetNode): NodeUse {
    let use = this.#uses.get(node)
    if (use === undefined) {
      use = new NodeUse()
      this.#uses.set(node, use)
    }
    return use
  }

  /** The runner of `model` on `node`. Names with one digest are copies of one model and share one runner in the node. */
  runner(node: FleetNode, model: string, bounded: boolean): Runner {
    const use = this.use(node)
    const key = bounded ? (node.models.get(model)?.digest ?? model) : anyModel
    const known = use.runners.get(key)
    if (known !== undefined) return known
    const { admission } = this.#deps.options()
    const stats = new ModelStats({
      slotsConfigured: node.options.slots ?? null,
      slotsAssumed: admission.slotsAssumed,
      slotsMax: admission.slotsMax,
    })
    const runner = new Runner(node, model, use, stats, bounded)
    use.runners.set(key, runner)
    return runner
  }

  /** The node went down or is another one: what it had in memory is unknown again, and a load there may never be answered. */
  forgetResidency(node: FleetNode): void {
    for (const runner of this.use(node).runners.values()) {
      runner.loadSignal?.abort('the node went down or was replaced')
      runner.lastServedMs = -Infinity
      runner.fingerprint = null
    }
  }

  /** Forgets a removed node. */
  drop(node: FleetNode): void {
    this.#uses.delete(node)
  }
    if (bounded) runner.lease = this.#deps.leases?.of(runner, node.options.url, key) ?? null

  /** Pools in which somebody waits. */
  *waiting(): Generator<Pool<W>> {
    for (const pool of this.#pools.values()) if (pool.queue.size > 0) yield pool
  }

  *all(): Generator<Pool<W>> {
    yield* this.#pools.values()
  }

  /**
   * Brings a pool with waiters up to date after the catalogue moved. Where no node is known to hold the model any more, its
   * waiters may ask any node, as if they had come now.
   */
  update(pool: Pool<W>): void {
    if (pool.catalogueVersion === this.#deps.catalogue.version) return
    const resolved = pool.model === anyModel ? null : this.#deps.catalogue.resolve(pool.model)
    if (resolved === null || !resolved.known) pool.runners = this.#deps.nodes().map((node) => this.runner(node, anyModel, false))
  /** The leases of all runners. */
  *leases(): Generator<RunnerLease> {
    for (const { runners } of this.#uses.values()) {
      for (const { lease } of runners.values()) if (lease !== null) yield lease
    }
  }

    else pool.runners = resolved.holders.map((node) => this.runner(node, resolved.name, true))
    pool.catalogueVersion = this.#deps.catalogue.version
  }
}
