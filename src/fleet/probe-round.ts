/**
 * Nodes that wait for their next probe of one kind are asked together, so that a gateway at rest is woken once for eight nodes and not eight
 * times: each wake-up and first write after it costs more than the probe itself. What spreads is the round, so that replicas do not ask a node
 * in step.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { FleetNode } from './node.ts'

export interface ProbeRoundDeps {
  readonly clock: Clock
  /** Of the longest wait; read when a round begins to wait. */
  readonly intervalMs: () => number
  /** 0 to below 1. */
  readonly random: () => number
  readonly ask: (node: FleetNode) => void
}

/** The share of the interval by which a round may come earlier. */
const jitter = 0.2

export class ProbeRound {
  readonly #deps: ProbeRoundDeps
  readonly #waiting = new Set<FleetNode>()
  #timer: Timer | null = null

  constructor(deps: ProbeRoundDeps) {
    this.#deps = deps
  }

  /** The node is asked in the next round, which the first that waits appoints: within the interval. */
  join(node: FleetNode): void {
    const { clock, intervalMs, random } = this.#deps
    this.#waiting.add(node)
    this.#timer ??= clock.after(intervalMs() * (1 - jitter * random()), this.#begin)
  }

  /** The node was asked meanwhile, or is gone. */
  leave(node: FleetNode): void {
    this.#waiting.delete(node)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#waiting.clear()
  }

  readonly #begin = (): void => {
    this.#timer = null
    const nodes = [...this.#waiting]
    this.#waiting.clear()
    for (const node of nodes) this.#deps.ask(node)
  }
}
