/**
 * What a gateway would know of one (node, model) pair, in the form policies read. Figures are learned from finished requests
 * only; the true speeds of a simulated node never reach a policy.
 */
import type { ModelSpec } from './workload.ts'

/** Times of one finished request, as Ollama's last frame reports them. */
export interface Sample {
  readonly nowMs: number
  /** Requests of the model under way on the node when this one was sent, itself included. */
  readonly inFlightAtDispatch: number
  readonly promptTokens: number
  readonly outputTokens: number
  readonly totalMs: number
  readonly loadMs: number
  readonly prefillMs: number
  readonly decodeMs: number
}

/** What is learned of one (node, model); handed in, so that the gateway's own learner is the one under test. */
export interface Learner {
  readonly slots: number
  readonly loadMs: number
  readonly requestMs: number | null
  readonly prefillMsPerToken: number | null
  readonly decodeMsPerToken: number | null
  sawLoad(loadMs: number): void
  sawRequest(sample: Sample): void
}

/** Same fields as a policy's candidate, and what the simulator's own baselines look at. */
export class NodeView {
  readonly node: string
  readonly model: ModelSpec
  readonly learner: Learner
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

  constructor(node: string, model: ModelSpec, { learner, load }: { learner: Learner; load: { inFlight: number } }) {
    this.node = node
    this.model = model
    this.learner = learner
    this.load = load
  }

  get slots(): number {
    return this.learner.slots
  }

  get nodeInFlight(): number {
    return this.load.inFlight
  }

  /** Half of a request for those being served, a whole one for those waiting in the node. */
  get pendingMs(): number {
    const served = Math.min(this.inFlight, this.slots)
    return (served * 0.5 + (this.inFlight - served)) * (this.learner.requestMs ?? 0)
  }

  get loadMs(): number {
    return this.learner.loadMs
  }

  get prefillMsPerToken(): number | null {
    return this.learner.prefillMsPerToken
  }

  get decodeMsPerToken(): number | null {
    return this.learner.decodeMsPerToken
  }
}
