/**
 * The metrics of the process: the children that requests update, and the text of a scrape. `model`, `node` and `pool` go
 * through a guard each, so that no client can mint series; all other labels are closed sets. What is a state rather than an
 * event (nodes, queues, loaded models) is read from its owner at the scrape, by a `GaugeSource`.
 */
import { contentTypes, endMark, type Exposition, renderFamily, toOpenMetrics } from './exposition.ts'
import { type Cell, CellCache, type Distribution, type Family, LabelGuard } from './families.ts'
import { createFamilies } from './metric-list.ts'
import { type OutcomeLabel, outcomeLabels } from './outcome.ts'

/**
 * Parts of a request's way to its node, in their order: who asks, the rest of its body, limits, caches, the choice of a node; and
 * `dispatch`, all of them.
 */
export type OverheadPhase = 'auth' | 'body' | 'limits' | 'cache' | 'route' | 'dispatch'

/** The value of the label `metric` where a limit holds for all of them. */
const allMetrics = 'all'

/**
 * Nodes that have series of their own however few values a label may have: none but an operator names them, and an alert that names the node is
 * worth its series. What is told per node and model is bounded by the label sets of a metric.
 */
const nodesMin = 100

/** Fills gauges with the present state; called at each scrape, must not do I/O. */
export type GaugeSource = () => void

export interface MetricsOptions {
  readonly labelValuesMax: () => number
  /** Text of the process metrics; left out when null. */
  readonly processText: (() => Promise<string>) | null
}

/** What one operation on one model updates. */
export interface RequestCells {
  readonly duration: Distribution
  readonly firstToken: Distribution
  readonly perToken: Distribution
  readonly inputTokens: Distribution
  readonly outputTokens: Distribution
  readonly cachedTokens: Cell
  readonly outcomes: ReadonlyMap<OutcomeLabel, Cell>
}

/** What one try updates. */
export interface NodeCells {
  readonly duration: Distribution
  readonly firstToken: Distribution
}

export class Metrics {
  readonly families = createFamilies()
  readonly model: LabelGuard
  readonly node: LabelGuard
  readonly pool: LabelGuard
  readonly #options: MetricsOptions
  readonly #sources: GaugeSource[] = []
  readonly #requests = new CellCache((op, model) => this.#createRequestCells(op, model))
  readonly #nodes = new CellCache((node) => this.#createNodeCells(node))
  readonly overhead: Readonly<Record<OverheadPhase, Distribution>>
  readonly inFlight: Cell
  readonly bugs: Cell

  constructor(options: MetricsOptions) {
    this.#options = options
    this.model = new LabelGuard('model', options.labelValuesMax)
    this.node = new LabelGuard('node', () => Math.max(nodesMin, options.labelValuesMax()))
    this.pool = new LabelGuard('pool', options.labelValuesMax)
    const of = (phase: OverheadPhase): Distribution => this.families.overhead.child(phase)
    this.overhead = {
      auth: of('auth'),
      body: of('body'),
      limits: of('limits'),
      cache: of('cache'),
      route: of('route'),
      dispatch: of('dispatch'),
    }
    this.inFlight = this.families.inFlight.child()
    this.bugs = this.families.bugs.child()
    this.#showZeros()
  }

  /** What has not happened yet: a counter that begins at 1 has no rise that an alert could see. */
  #showZeros(): void {
    const { hedges, memoryRefused, traceSpans, exportFailures } = this.families
    for (const reason of ['straggler', 'hedge']) hedges.child(reason)
    for (const step of ['defer', 'close', 'refuse']) memoryRefused.child(step)
    for (const result of ['dropped', 'refused', 'lost']) traceSpans.child(result)
    exportFailures.child()
  }

  #createRequestCells(op: string, model: string): RequestCells {
    const all = this.families
    return {
      duration: all.duration.child(op, model),
      firstToken: all.firstToken.child(model),
      perToken: all.perToken.child(model),
      inputTokens: all.requestInput.child(op),
      outputTokens: all.requestOutput.child(op),
      cachedTokens: all.cachedTokens.child(model),
      outcomes: new Map(outcomeLabels.map((label) => [label, all.requests.child(op, model, label)])),
    }
  }

  #createNodeCells(node: string): NodeCells {
    const { nodeDuration, nodeFirstToken } = this.families
    return { duration: nodeDuration.child(node), firstToken: nodeFirstToken.child(node) }
  }

  /** Cells of an operation on a model; both labels are guarded already. */
  requestCells(op: string, model: string): RequestCells {
    return this.#requests.get(op, model)
  }

  /** Cells of a node; the label is guarded already. */
  nodeCells(node: string): NodeCells {
    return this.#nodes.get(node, '')
  }

  /** Takes all series of a node away that was removed from the fleet. A try of it that ends later begins new ones. */
  forgetNode(node: string): void {
    for (const family of this.#all()) family.forget('node', node)
    this.#nodes.clear()
    this.node.forget(node)
  }

  /** The same for a model that no node has any more, and its pool. */
  forgetModel(model: string): void {
    for (const family of this.#all()) {
      family.forget('model', model)
      family.forget('pool', model)
    }
    this.#requests.clear()
    this.model.forget(model)
    this.pool.forget(model)
  }

  /** Adds a state that is read at each scrape. */
  addSource(source: GaugeSource): void {
    this.#sources.push(source)
  }

  /** The text of a scrape. */
  async render(exposition: Exposition = 'text'): Promise<{ readonly contentType: string; readonly body: string }> {
    for (const source of this.#sources) source()
    this.#showOverflows()
    let body = ''
    for (const family of this.#all()) body += renderFamily(family, exposition)
    const { processText } = this.#options
    if (processText !== null) body += exposition === 'text' ? await processText() : toOpenMetrics(await processText())
    return { contentType: contentTypes[exposition], body: exposition === 'text' ? body : body + endMark }
  }

  #all(): readonly Family[] {
    return Object.values(this.families)
  }

  #showOverflows(): void {
    const { overflow } = this.families
    for (const { label, overflows } of [this.model, this.node, this.pool]) overflow.at(allMetrics, label).value = overflows
    for (const { name, open, overflows } of this.#all()) if (open.length > 0) overflow.at(name, open.join(',')).value = overflows
  }
}
