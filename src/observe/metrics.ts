/**
 * Every metric of Corral: names, labels, bounds, and the children that requests update. `model`, `node` and `pool` go
 * through a guard each, so that no client can mint series; all other labels are closed sets. What is a state rather than an
 * event (nodes, queues, loaded models) is read from its owner at the scrape, by a `GaugeSource`.
 */
import * as bounds from './buckets.ts'
import { type Cell, CellCache, counter, type Distribution, gauge, histogram, LabelGuard } from './families.ts'
import { type OutcomeLabel, outcomeLabels } from './outcome.ts'

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
  readonly inFlight: Cell
}

function families() {
  const model = ['model']
  const node = ['node']
  return {
    requests: counter('corral_requests_total', 'Requests by operation, model and outcome.', ['op', 'model', 'outcome']),
    duration: histogram('corral_request_duration_seconds', 'Arrival to the end of the answer.', {
      labels: ['op', 'model'],
      bounds: bounds.latencySeconds,
    }),
    inFlight: gauge('corral_requests_in_flight', 'Requests that a node is to answer, under way.'),
    firstToken: histogram('corral_time_to_first_token_seconds', 'Arrival to the first frame of a stream.', {
      labels: model,
      bounds: bounds.firstTokenSeconds,
    }),
    nodeFirstToken: histogram('corral_node_time_to_first_token_seconds', 'Dispatch to the first frame of a stream.', {
      labels: node,
      bounds: bounds.firstTokenSeconds,
    }),
    perToken: histogram('corral_time_per_output_token_seconds', 'Mean time between output tokens of a stream.', {
      labels: model,
      bounds: bounds.perTokenSeconds,
    }),
    inputTokens: counter('corral_input_tokens_total', 'Prompt tokens as nodes report them.', ['model', 'node']),
    outputTokens: counter('corral_output_tokens_total', 'Output tokens as nodes report them.', ['model', 'node']),
    cachedTokens: counter('corral_cached_input_tokens_total', 'Prompt tokens that a node had in its cache.', model),
    requestInput: histogram('corral_request_input_tokens', 'Prompt tokens of a request.', { labels: ['op'], bounds: bounds.tokens }),
    requestOutput: histogram('corral_request_output_tokens', 'Output tokens of a request.', { labels: ['op'], bounds: bounds.tokens }),
    overhead: histogram('corral_overhead_seconds', 'Arrival, body included, to dispatch of requests that did not wait.', {
      labels: ['phase'],
      bounds: bounds.overheadSeconds,
    }),
    queueWait: histogram('corral_queue_wait_seconds', 'Time in a queue.', { labels: ['pool', 'priority'], bounds: bounds.queueSeconds }),
    queueRejected: counter('corral_queue_rejected_total', 'Requests that no queue took or kept.', ['pool', 'reason']),
    routing: counter('corral_routing_decisions_total', 'Dispatches by node and reason.', ['node', 'reason']),
    retries: counter('corral_retries_total', 'Further tries, by what failed before.', ['node', 'reason']),
    hedges: counter('corral_hedges_total', 'Embedding shards sent a second time.', ['reason']),
    reloadsAvoided: counter('corral_model_reloads_avoided_total', 'Requests whose num_ctx would have reloaded the model.', model),
    nodeRequests: counter('corral_node_requests_total', 'Tries by node and outcome.', ['node', 'outcome']),
    nodeDuration: histogram('corral_node_request_duration_seconds', 'Dispatch to the end of a try.', {
      labels: node,
      bounds: bounds.latencySeconds,
    }),
    nodeInFlight: gauge('corral_inflight_requests', 'Tries under way, by node.', node),
    probeSeconds: gauge('corral_node_probe_duration_seconds', 'Duration of the last good probe.', node),
    probeFailures: counter('corral_node_probe_failures_total', 'Probes that failed.', node),
    nodeTransitions: counter('corral_node_transitions_total', 'Changes of reachability.', ['node', 'to']),
    circuitTransitions: counter('corral_node_circuit_transitions_total', 'Changes of the circuit breaker.', ['node', 'to']),
    loadSeconds: histogram('corral_node_model_load_seconds', 'Model loads that Corral started.', { labels: model, bounds: bounds.loadSeconds }),
    loads: counter('corral_model_loads_total', 'Model loads that Corral started.', ['node', 'outcome']),
    wedges: counter('corral_wedges_freed_total', 'Stuck runners that the watchdog freed.', ['node']),
    drift: gauge('corral_model_digest_drift', 'Different digests behind one model name, less one.', model),
    bugs: counter('corral_internal_errors_total', 'Unexpected errors in Corral itself.'),
    buildInfo: gauge('corral_build_info', 'Always 1; the version is a label.', ['version', 'node_version']),
    configOk: gauge('corral_config_last_reload_successful', 'Whether the last reload of the configuration was taken.'),
    configAt: gauge('corral_config_last_reload_timestamp_seconds', 'When the configuration was last taken.'),
    overflow: counter('corral_metric_label_overflow_total', 'Updates counted under "other" because a label had too many values.', ['label']),
    logDropped: counter('corral_log_dropped_total', 'Log lines lost because their reader was too slow.'),
    nodeUp: gauge('corral_node_up', 'Whether probes reach the node.', node),
    nodeDraining: gauge('corral_node_draining', 'Whether the node gets no new requests by the wish of an operator.', node),
    circuitState: gauge('corral_node_circuit_state', '1 for the present state of the circuit breaker.', ['node', 'state']),
    nodeSeen: gauge('corral_node_last_seen_timestamp_seconds', 'When the node last answered.', node),
    queueDepth: gauge('corral_queue_depth', 'Requests that wait.', ['pool']),
    slots: gauge('corral_concurrency_limit', 'Requests of a pool sent at once.', ['pool']),
    modelLoaded: gauge('corral_node_model_loaded', 'Models in memory.', ['node', 'model']),
    modelVram: gauge('corral_node_model_vram_bytes', 'Graphics memory of a loaded model.', ['node', 'model']),
    modelExpiry: gauge('corral_node_model_expiry_timestamp_seconds', 'When a loaded model may be unloaded.', ['node', 'model']),
  }
}

export class Metrics {
  readonly families = families()
  readonly model: LabelGuard
  readonly node: LabelGuard
  readonly pool: LabelGuard
  readonly #options: MetricsOptions
  readonly #sources: GaugeSource[] = []
  readonly #requests = new CellCache((op, model) => this.#createRequestCells(op, model))
  readonly #nodes = new CellCache((node) => this.#createNodeCells(node))
  readonly overhead: Distribution
  readonly inFlight: Cell
  readonly bugs: Cell

  constructor(options: MetricsOptions) {
    this.#options = options
    this.model = new LabelGuard('model', options.labelValuesMax)
    this.node = new LabelGuard('node', options.labelValuesMax)
    this.pool = new LabelGuard('pool', options.labelValuesMax)
    this.overhead = this.families.overhead.child('dispatch')
    this.inFlight = this.families.inFlight.child()
    this.bugs = this.families.bugs.child()
    for (const reason of ['straggler', 'hedge']) this.families.hedges.child(reason)
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
    const { nodeDuration, nodeFirstToken, nodeInFlight } = this.families
    return { duration: nodeDuration.child(node), firstToken: nodeFirstToken.child(node), inFlight: nodeInFlight.child(node) }
  }

  /** Cells of an operation on a model; both labels are guarded already. */
  requestCells(op: string, model: string): RequestCells {
    return this.#requests.get(op, model)
  }

  /** Cells of a node; the label is guarded already. */
  nodeCells(node: string): NodeCells {
    return this.#nodes.get(node, '')
  }

  /** Adds a state that is read at each scrape. */
  addSource(source: GaugeSource): void {
    this.#sources.push(source)
  }

  /** The text of a scrape, in the Prometheus text format. */
  async render(): Promise<{ readonly contentType: string; readonly body: string }> {
    for (const source of this.#sources) source()
    for (const guard of [this.model, this.node, this.pool]) this.families.overflow.child(guard.label).value = guard.overflows
    let body = ''
    for (const family of Object.values(this.families)) body += family.render()
    if (this.#options.processText !== null) body += await this.#options.processText()
    return { contentType: 'text/plain; version=0.0.4; charset=utf-8', body }
  }
}
