/**
 * What a live gateway decides with, in the shape that the simulator of fleets asks for: its learner, its price of a load, its
 * policies. `corral replay` and the routing bench both try these, so that what is tried is what runs.
 */
import { ModelStats, type SlotOptions } from '../../fleet/learning.ts'
import { Demand } from '../../fleet/policy/demand.ts'
import { evictionPrice } from '../../fleet/policy/eviction-price.ts'
import { MemoryBounds } from '../../fleet/policy/memory-bounds.ts'
import type { Policy } from '../../fleet/policy/policy.ts'
import type { Ranker } from '../../sim/virtual/baselines.ts'
import type { PriceQuestion, Pricing } from '../../sim/virtual/knowledge.ts'
import type { Learner, Sample } from '../../sim/virtual/node-view.ts'

/** `OLLAMA_MAX_LOADED_MODELS` of the simulated nodes; an operator knows it, and Ollama's default is 3 per GPU. */
const loadedMax = 3

export function rankerOf(policy: Policy): Ranker {
  return (views, question, random) => policy(views, question, random).map(({ candidate }) => candidate)
}

/** The gateway's learner, told what Ollama's last frame would tell it. */
export class FleetLearner implements Learner {
  readonly #stats: ModelStats

  constructor(slots: SlotOptions) {
    this.#stats = new ModelStats(slots)
  }

  get slots(): number {
    return this.#stats.slots
  }

  get loadMs(): number {
    return this.#stats.loadMs
  }

  get requestMs(): number | null {
    return this.#stats.requestMs
  }

  get prefillMsPerToken(): number | null {
    return this.#stats.prefillMsPerToken
  }

  get decodeMsPerToken(): number | null {
    return this.#stats.decodeMsPerToken
  }

  sawLoad(loadMs: number): void {
    this.#stats.observeLoad(loadMs)
  }

  sawRequest({ nowMs, inFlightAtDispatch, promptTokens, outputTokens, totalMs, loadMs, prefillMs, decodeMs }: Sample): void {
    const usage = { promptTokens, cachedPromptTokens: null, outputTokens, totalMs, loadMs, promptMs: prefillMs, outputMs: decodeMs }
    this.#stats.observe(usage, { nowMs, inFlightAtDispatch, durationMs: totalMs })
  }
}

/** The gateway's price of a load, from what was asked for and what was seen in memory together. */
export class FleetPricing implements Pricing {
  readonly #bounds = new Map<string, MemoryBounds>()
  readonly #demand = new Demand()

  wanted(model: string, nowMs: number): void {
    this.#demand.note(model, nowMs)
  }

  price({ node, nowMs, loaded: copies, needBytes }: PriceQuestion): ReturnType<Pricing['price']> {
    const loaded = copies.map((copy) => ({ ...copy, wantedPerMs: this.#demand.perMs(copy.model, nowMs) }))
    return evictionPrice({ loaded, needBytes, capacityBytes: this.#of(node).capacityBytes, loadedMax })
  }

  sawTogether(node: string, bytes: number): void {
    this.#of(node).sawTogether(bytes)
  }

  sawEviction(node: string, bytes: number): void {
    this.#of(node).sawEviction(bytes)
  }

  #of(node: string): MemoryBounds {
    const bounds = this.#bounds.get(node) ?? new MemoryBounds()
    this.#bounds.set(node, bounds)
    return bounds
  }
}
