/**
 * What a load would cost the others on a node: fills the plain data of `policy/eviction-price.ts` from what the fleet knows.
 * It learns each model's size in memory and each node's room from `/api/ps`, and how often each model is wanted from what
 * arrives.
 */
import type { Clock } from '../base/clock.ts'
import type { FleetNode, LoadedModel as ListedModel } from './node.ts'
import { Demand } from './policy/demand.ts'
import { evictionPrice, type EvictionPrice, type LoadedModel } from './policy/eviction-price.ts'
import { MemoryBounds } from './policy/memory-bounds.ts'
import type { NodeUse, Runner } from './runner.ts'

export interface LoadPricingDeps {
  readonly nodes: () => readonly FleetNode[]
  readonly use: (node: FleetNode) => NodeUse
  readonly clock: Clock
}

interface NodeMemory {
  readonly bounds: MemoryBounds
  listed: ReadonlyMap<string, ListedModel>
}

/** A loaded model takes its file and room for the context: taken until `/api/ps` has shown the real size. */
const contextShare = 1.2

export class LoadPricing {
  readonly #deps: LoadPricingDeps
  readonly #demand = new Demand()
  readonly #memory = new WeakMap<FleetNode, NodeMemory>()
  readonly #sizeBytes = new Map<string, number>()

  constructor(deps: LoadPricingDeps) {
    this.#deps = deps
  }

  /** A request for `model` arrived. */
  wanted(model: string, nowMs: number): void {
    this.#demand.note(model, nowMs)
  }

  /** Price of loading the runner's model on its node now. */
  price(runner: Runner, nowMs: number): EvictionPrice {
    const { fleetNode: node } = runner
    const loaded: LoadedModel[] = []
    for (const listed of node.loaded.values()) {
      if (this.#deps.use(node).find(listed) !== runner) loaded.push(this.#describe(node, listed, nowMs))
    }
    return evictionPrice({
      loaded,
      needBytes: this.#needBytes(runner),
      capacityBytes: this.#of(node).bounds.capacityBytes,
      loadedMax: Infinity,
    })
  }

  #describe(node: FleetNode, listed: ListedModel, nowMs: number): LoadedModel {
    const { name, sizeBytes } = listed
    const runner = this.#deps.use(node).find(listed)
    const busy = runner !== null && runner.inFlight > 0
    return {
      vramBytes: sizeBytes,
      inFlight: runner?.inFlight ?? 0,
      idleMs: busy || runner === null ? 0 : Math.max(0, nowMs - runner.lastServedMs),
      busyMs: busy ? runner.pendingMs / Math.min(runner.inFlight, runner.slots) : 0,
      wantedPerMs: this.#demand.perMs(name, nowMs),
      loadMs: runner?.loadMs ?? 0,
      warmElsewhere: this.#deps.nodes().filter((other) => other !== node && other.loaded.has(name)).length,
    }
  }

  #needBytes({ model, fleetNode }: Runner): number {
    return this.#sizeBytes.get(model) ?? (fleetNode.models.get(model)?.sizeBytes ?? 0) * contextShare
  }

  #of(node: FleetNode): NodeMemory {
    let memory = this.#memory.get(node)
    if (memory === undefined) {
      memory = { bounds: new MemoryBounds(), listed: new Map() }
      this.#memory.set(node, memory)
    }
    return memory
  }

  /** `node.loaded` was read anew. */
  sawLoaded(node: FleetNode): void {
    const memory = this.#of(node)
    const before = memory.listed
    memory.listed = node.loaded
    for (const { name, sizeBytes } of node.loaded.values()) this.#sizeBytes.set(name, sizeBytes)
    memory.bounds.sawTogether(totalBytes(node.loaded))
    const arrivedBytes = totalBytes(node.loaded) - totalBytes(before, (name) => node.loaded.has(name))
    const pushedOut = [...before.values()].some(
      ({ name, expiresAtMs }) => !node.loaded.has(name) && expiresAtMs > this.#deps.clock.wallMs(),
    )
    if (arrivedBytes > 0 && pushedOut) memory.bounds.sawEviction(totalBytes(before) + arrivedBytes)
  }
}

function totalBytes(models: ReadonlyMap<string, ListedModel>, counts: (name: string) => boolean = () => true): number {
  let bytes = 0
  for (const { name, sizeBytes } of models.values()) if (counts(name)) bytes += sizeBytes
  return bytes
}
