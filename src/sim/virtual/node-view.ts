/**
 * What a gateway would know of one (node, model) pair, in the form policies read. Figures are learned from finished requests
 * only; the true speeds of a simulated node never reach a policy.
 */
import type { ModelSpec } from './workload.ts'

/** Weight of a new observation in the moving averages. */
const newWeight = 0.2
const assumedLoadMs = 15_000

/** Speeds of one (node, model) as seen in answers. */
export class LearnedSpeed {
  loadMs = assumedLoadMs
  requestMs: number | null = null
  prefillMsPerToken: number | null = null
  decodeMsPerToken: number | null = null
  #loads = 0

  sawLoad(loadMs: number): void {
    this.#loads += 1
    this.loadMs = this.#loads === 1 ? loadMs : blend(this.loadMs, loadMs)
  }

  sawRequest(sample: { prefilledTokens: number; prefillMs: number; outputTokens: number; decodeMs: number }): void {
    this.prefillMsPerToken = blend(this.prefillMsPerToken, sample.prefillMs / sample.prefilledTokens)
    this.decodeMsPerToken = blend(this.decodeMsPerToken, sample.decodeMs / sample.outputTokens)
    this.requestMs = blend(this.requestMs, sample.prefillMs + sample.decodeMs)
  }
}

function blend(old: number | null, sample: number): number {
  return old === null ? sample : old + newWeight * (sample - old)
}

/** Same fields as a policy's candidate, and what the simulator's own baselines look at. */
export class NodeView {
  readonly node: string
  readonly model: ModelSpec
  readonly slots: number
  readonly speed = new LearnedSpeed()
  /** Shared by all views of the node. */
  readonly load: { inFlight: number }
  inFlight = 0
  residency: 'resident' | 'loading' | 'cold' = 'cold'
  loadRemainingMs = 0
  loaderBacklogMs = 0
  lastChosen = 0
  penalty = 0
  cachedTokens = 0
  evictionMs = 0
  idleSinceMs = 0
  /** Virtual time at which a load under way began; null when none is. */
  loadingSinceMs: number | null = null

  constructor(node: string, model: ModelSpec, { slots, load }: { slots: number; load: { inFlight: number } }) {
    this.node = node
    this.model = model
    this.slots = slots
    this.load = load
  }

  get nodeInFlight(): number {
    return this.load.inFlight
  }

  /** Half of a request for those being served, a whole one for those waiting in the node. */
  get pendingMs(): number {
    const served = Math.min(this.inFlight, this.slots)
    return (served * 0.5 + (this.inFlight - served)) * (this.speed.requestMs ?? 0)
  }

  get loadMs(): number {
    return this.speed.loadMs
  }

  get prefillMsPerToken(): number | null {
    return this.speed.prefillMsPerToken
  }

  get decodeMsPerToken(): number | null {
    return this.speed.decodeMsPerToken
  }
}
