/**
 * Frees a node whose scheduler is wedged. Requests with two runner options from clients beside the gateway can leave a node
 * that looks idle and healthy while every cold model waits for somebody's `keep_alive` (ollama-contract-verified.md §b). The
 * sign: a load or request of ours gets no byte for long, and the node lists models in which nothing of ours runs. The cure:
 * an unload request for those, which hurts no stream that is under way (T415) and at worst costs a later load.
 */
import type { Clock } from '../base/clock.ts'
import type { LiveList } from '../base/live-list.ts'
import type { Attempt } from './attempt.ts'
import type { FleetNode } from './node.ts'
import type { FleetOptions } from './options.ts'
import type { NodeUse, Runner } from './runner.ts'
import { unloadModel } from './unload.ts'

export interface WatchdogDeps {
  readonly clock: Clock
  readonly options: () => FleetOptions
  readonly nodes: () => readonly FleetNode[]
  readonly use: (node: FleetNode) => NodeUse
  readonly active: LiveList<Attempt>
  /** Reads `/api/ps` of the node anew. */
  readonly refreshLoaded: (node: FleetNode) => Promise<void>
  readonly onFreed: (node: string, model: string) => void
}

/** A wait is no wedge while it is shorter than this many times what the runner's loads take. */
const loadFactor = 3
/** Until a load of a model was seen, it may take `wedgedAfterMs` for each this many bytes: 150 MB/s by default, a slow disk. */
const firstLoadBytes = 3e9
/** One cure per node and this long: the node needs time to load what waits. */
const cureEveryMs = 30_000

export class Watchdog {
  readonly #deps: WatchdogDeps
  readonly #curedAtMs = new WeakMap<FleetNode, number>()
  #lastCheckMs = -Infinity
  freed = 0

  constructor(deps: WatchdogDeps) {
    this.#deps = deps
  }

  /** Looks at all nodes, at most once per `checkIntervalMs`. */
  tick(nowMs: number): void {
    const { enabled, checkIntervalMs } = this.#deps.options().watchdog
    if (!enabled || nowMs - this.#lastCheckMs < checkIntervalMs) return
    this.#lastCheckMs = nowMs
    for (const node of this.#deps.nodes()) {
      if (node.up === true && this.#isStuck(node, nowMs)) void this.#cure(node, nowMs)
    }
  }

  #isStuck(node: FleetNode, nowMs: number): boolean {
    if (nowMs - (this.#curedAtMs.get(node) ?? -Infinity) < cureEveryMs) return false
    for (const runner of this.#deps.use(node).runners.values()) {
      if (runner.load !== null && this.#waitsTooLong(runner, runner.load.startedAtMs, nowMs)) return true
    }
    return this.#deps.active.find((attempt) => this.#isKeptOut(attempt, node, nowMs)) !== undefined
  }

  /** A request of ours that got no byte for long, though its model is not in place. A long prompt is silent, too, but its model is listed. */
  #isKeptOut({ claim, streaming, status, startedAtMs }: Attempt, node: FleetNode, nowMs: number): boolean {
    const { runner } = claim
    const silent = runner.fleetNode === node && !streaming && status === 0
    return silent && runner.bounded && !runner.isInPlace() && this.#waitsTooLong(runner, startedAtMs, nowMs)
  }

  #waitsTooLong(runner: Runner, sinceMs: number, nowMs: number): boolean {
    const { wedgedAfterMs } = this.#deps.options().watchdog
    return nowMs - sinceMs > Math.max(wedgedAfterMs, loadFactor * runner.stats.loadMsLearned, wedgedAfterMs * firstLoadShare(runner))
  }

  /** Unloads every listed model in which no answer of ours runs. */
  async #cure(node: FleetNode, nowMs: number): Promise<void> {
    this.#curedAtMs.set(node, nowMs)
    await this.#deps.refreshLoaded(node)
    const running = new Set<string>()
    for (const runner of this.#deps.use(node).runners.values()) {
      const listed = runner.streaming > 0 ? runner.listed() : null
      if (listed !== null) running.add(listed.name)
    }
    for (const name of node.loaded.keys()) {
      if (!running.has(name)) await this.#unload(node, name)
    }
  }

  async #unload(node: FleetNode, model: string): Promise<void> {
    if (!(await unloadModel(node, model, this.#deps.options().operations.timeoutMs))) return
    this.freed += 1
    this.#deps.onFreed(node.name, model)
  }
}

function firstLoadShare({ stats, fleetNode, model }: Runner): number {
  return stats.loadMsLearned > 0 ? 0 : (fleetNode.models.get(model)?.sizeBytes ?? 0) / firstLoadBytes
}
