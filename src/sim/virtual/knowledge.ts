/**
 * All a simulated gateway knows of its fleet: one view per (node, model), the loads it set off, and which conversation was last
 * served where. It learns from its own requests; memory sizes and what is in memory are as `/api/ps` shows them.
 */
import { NodeView, type Learner } from './node-view.ts'
import type { ModelSpec, NodeSpec } from './workload.ts'

/** What is asked of the eviction price; the same plain data a live gateway has. */
export interface PriceQuestion {
  readonly node: string
  readonly nowMs: number
  readonly loaded: readonly {
    readonly model: string
    readonly vramBytes: number
    readonly inFlight: number
    readonly idleMs: number
    readonly busyMs: number
    readonly loadMs: number
    readonly warmElsewhere: number
  }[]
  readonly needBytes: number
}

/** Handed in, so that the gateway's own price is the one under test. */
export interface Pricing {
  wanted(model: string, nowMs: number): void
  price(question: PriceQuestion): { readonly priceMs: number; readonly waitMs: number }
  sawTogether(node: string, bytes: number): void
  sawEviction(node: string, bytes: number): void
}

interface Memory {
  readonly view: NodeView
  readonly tokens: number
  readonly served: number
}

const bytesPerGb = 1e9
/** A load that takes longer than expected still counts for this share. */
const overdueShare = 0.1

export class Knowledge {
  readonly #byModel = new Map<string, readonly NodeView[]>()
  readonly #byNode = new Map<string, NodeView[]>()
  readonly #coming = new Map<string, NodeView[]>()
  readonly #served = new Map<NodeView, number>()
  readonly #memories = new Map<number, Memory>()
  readonly #pricing: Pricing
  #choices = 0

  constructor(
    nodes: readonly NodeSpec[],
    models: readonly ModelSpec[],
    { newLearner, pricing }: { newLearner: (node: string, model: string) => Learner; pricing: Pricing },
  ) {
    this.#pricing = pricing
    const loads = new Map(nodes.map((node) => [node.name, { inFlight: 0 }]))
    for (const model of models) {
      const views = nodes.map(
        ({ name }) => new NodeView(name, model, { learner: newLearner(name, model.name), load: loads.get(name) ?? { inFlight: 0 } }),
      )
      this.#byModel.set(model.name, views)
    }
    for (const { name } of nodes) {
      this.#byNode.set(
        name,
        [...this.#byModel.values()].flat().filter((view) => view.node === name),
      )
      this.#coming.set(name, [])
    }
  }

  view(node: string, model: string): NodeView {
    const view = this.viewsOf(model).find((candidate) => candidate.node === node)
    if (view === undefined) throw new Error(`no view of ${model} on ${node}`)
    return view
  }

  viewsOf(model: string): readonly NodeView[] {
    return this.#byModel.get(model) ?? []
  }

  stickyNode(conversation: number): string | null {
    return this.#memories.get(conversation)?.view.node ?? null
  }

  /** Brings all views of a model up to date for one question. */
  refresh(model: string, conversation: number, nowMs: number): readonly NodeView[] {
    const views = this.viewsOf(model)
    for (const view of views) this.#refreshView(view, conversation, nowMs)
    return views
  }

  #refreshView(view: NodeView, conversation: number, nowMs: number): void {
    view.cachedTokens = this.#cachedTokens(view, conversation)
    view.evictionMs = 0
    view.loadRemainingMs = 0
    view.loaderBacklogMs = 0
    if (view.residency === 'resident') return
    let aheadMs = 0
    for (const other of this.#coming.get(view.node) ?? []) {
      aheadMs += remainingMs(other, nowMs)
      if (other === view) view.loadRemainingMs = aheadMs
    }
    if (view.residency === 'loading') return
    const { priceMs, waitMs } = this.#pricing.price(this.#priceQuestion(view, nowMs))
    view.evictionMs = priceMs
    view.loaderBacklogMs = aheadMs + waitMs
  }

  #priceQuestion(view: NodeView, nowMs: number): PriceQuestion {
    const loaded = (this.#byNode.get(view.node) ?? []).filter((other) => other.residency !== 'cold')
    return {
      node: view.node,
      nowMs,
      needBytes: view.model.sizeGb * bytesPerGb,
      loaded: loaded.map((other) => ({
        model: other.model.name,
        vramBytes: other.model.sizeGb * bytesPerGb,
        inFlight: other.inFlight,
        idleMs: other.inFlight === 0 ? nowMs - other.idleSinceMs : 0,
        busyMs: other.inFlight === 0 ? 0 : other.pendingMs / Math.min(other.inFlight, other.slots),
        loadMs: other.loadMs,
        warmElsewhere: this.viewsOf(other.model.name).filter((copy) => copy !== other && copy.residency !== 'cold').length,
      })),
    }
  }

  #cachedTokens(view: NodeView, conversation: number): number {
    const memory = this.#memories.get(conversation)
    if (memory?.view !== view || view.residency !== 'resident') return 0
    return (this.#served.get(view) ?? 0) - memory.served < view.slots ? memory.tokens : 0
  }

  /** A request, or with `load` only a load, goes to this view's node. */
  noteSent(view: NodeView, load: boolean, nowMs: number): void {
    if (view.residency === 'cold') {
      view.residency = 'loading'
      view.loadingSinceMs = nowMs
      this.#coming.get(view.node)?.push(view)
    }
    if (load) return
    this.#choices += 1
    view.lastChosen = this.#choices
    view.inFlight += 1
    view.load.inFlight += 1
    this.#served.set(view, (this.#served.get(view) ?? 0) + 1)
  }

  noteLoaded(view: NodeView, loadMs: number, nowMs: number): void {
    const coming = this.#coming.get(view.node) ?? []
    coming.splice(coming.indexOf(view), 1)
    const next = coming[0]
    if (next !== undefined) next.loadingSinceMs = nowMs
    view.residency = 'resident'
    view.loadingSinceMs = null
    view.idleSinceMs = nowMs
    view.learner.sawLoad(loadMs)
    this.#pricing.sawTogether(view.node, this.#residentBytes(view.node))
  }

  noteUnloaded(view: NodeView, forRoomOf: NodeView | null): void {
    if (forRoomOf !== null) {
      this.#pricing.sawEviction(view.node, this.#residentBytes(view.node) + forRoomOf.model.sizeGb * bytesPerGb)
    }
    view.residency = 'cold'
  }

  /** Model that the node is bringing in at this moment. */
  loadingOn(node: string): NodeView | null {
    return this.#coming.get(node)?.[0] ?? null
  }

  noteEnd(view: NodeView, conversation: { id: number; tokens: number }, nowMs: number): void {
    view.inFlight -= 1
    view.load.inFlight -= 1
    view.idleSinceMs = nowMs
    this.#memories.set(conversation.id, { view, tokens: conversation.tokens, served: this.#served.get(view) ?? 0 })
  }

  #residentBytes(node: string): number {
    const views = this.#byNode.get(node) ?? []
    return views.reduce((sum, view) => sum + (view.residency === 'resident' ? view.model.sizeGb * bytesPerGb : 0), 0)
  }
}

function remainingMs(view: NodeView, nowMs: number): number {
  return Math.max(view.loadMs * overdueShare, view.loadMs - (nowMs - (view.loadingSinceMs ?? nowMs)))
}
