/**
 * Every metric of Corral by name, with its labels and bounds. Names are a contract with dashboards and alerts: they follow
 * the Prometheus rules (one prefix, base units, `_total` for counters), and a label is never added to one that exists.
 */
import * as bounds from './buckets.ts'
import { counter, gauge, histogram } from './families.ts'

const model = ['model']
const node = ['node']

/** Fresh families, all empty. */
export function createFamilies() {
  return {
    ...httpFamilies(),
    ...requestFamilies(),
    ...dispatchFamilies(),
    ...nodeFamilies(),
    ...stateFamilies(),
    ...guardFamilies(),
    ...storeFamilies(),
    ...ragFamilies(),
    ...processFamilies(),
  }
}

/** All that comes to the port, Corral's own routes too. */
function httpFamilies() {
  const labels = ['route', 'code_class']
  return {
    httpRequests: counter('corral_http_requests_total', 'HTTP exchanges by pattern of the route and class of the status.', labels),
    httpDuration: histogram('corral_http_request_duration_seconds', 'Arrival to the end of an exchange, or the leave of its client.', {
      labels,
      bounds: bounds.httpSeconds,
    }),
    httpInFlight: gauge('corral_http_requests_in_flight', 'HTTP exchanges under way.'),
  }
}

/** What requests do: counted at their end. */
function requestFamilies() {
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
    perToken: histogram('corral_time_per_output_token_seconds', 'Mean time between output tokens of a stream.', {
      labels: model,
      bounds: bounds.perTokenSeconds,
    }),
    interToken: histogram('corral_inter_token_latency_seconds', 'Time between the pieces of a stream as its node sends them.', {
      labels: model,
      bounds: bounds.perTokenSeconds,
    }),
    inputTokens: counter('corral_input_tokens_total', 'Prompt tokens as nodes report them.', ['model', 'node']),
    outputTokens: counter('corral_output_tokens_total', 'Output tokens as nodes report them.', ['model', 'node']),
    cachedTokens: counter('corral_cached_input_tokens_total', 'Prompt tokens that a node had in its cache.', model),
    requestInput: histogram('corral_request_input_tokens', 'Prompt tokens of a request.', { labels: ['op'], bounds: bounds.tokens }),
    requestOutput: histogram('corral_request_output_tokens', 'Output tokens of a request.', { labels: ['op'], bounds: bounds.tokens }),
    overhead: histogram(
      'corral_overhead_seconds',
      'The way of a request to its node by its parts, and as a whole (dispatch) of those that did not wait.',
      {
        labels: ['phase'],
        bounds: bounds.overheadSeconds,
      },
    ),
  }
}

/** What dispatch does with them: queues, choices and tries. */
function dispatchFamilies() {
  return {
    queueWait: histogram('corral_queue_wait_seconds', 'Time in a queue.', { labels: ['pool', 'priority'], bounds: bounds.queueSeconds }),
    queueRejected: counter('corral_queue_rejected_total', 'Requests that no queue took or kept.', ['pool', 'reason']),
    routing: counter('corral_routing_decisions_total', 'Dispatches by node and reason.', ['node', 'reason']),
    retries: counter('corral_retries_total', 'Further tries, by what failed before.', ['node', 'reason']),
    hedges: counter('corral_hedges_total', 'Embedding shards sent a second time.', ['reason']),
    undelivered: counter(
      'corral_undelivered_tokens_total',
      'Output tokens of streams that did not reach their end; a frame is one where no node counted.',
      ['model', 'reason'],
    ),
    truncated: counter(
      'corral_context_truncated_total',
      'Prompts well over the context of the model in memory, of which the node read what fits.',
      ['model', 'node'],
    ),
    reloadsAvoided: counter('corral_model_reloads_avoided_total', 'Requests whose num_ctx would have reloaded the model.', model),
    nodeRequests: counter('corral_node_requests_total', 'Tries by node and outcome.', ['node', 'outcome']),
    nodeDuration: histogram('corral_node_request_duration_seconds', 'Dispatch to the end of a try.', {
      labels: node,
      bounds: bounds.latencySeconds,
    }),
    nodeFirstToken: histogram('corral_node_time_to_first_token_seconds', 'Dispatch to the first frame of a stream.', {
      labels: node,
      bounds: bounds.firstTokenSeconds,
    }),
  }
}

/** What happens to nodes. */
function nodeFamilies() {
  return {
    probeSeconds: gauge('corral_node_probe_duration_seconds', 'Duration of the last good probe.', ['node', 'probe']),
    probeFailures: counter('corral_node_probe_failures_total', 'Probes that failed.', ['node', 'probe']),
    nodeTransitions: counter('corral_node_transitions_total', 'Changes of reachability.', ['node', 'to']),
    circuitTransitions: counter('corral_node_circuit_transitions_total', 'Changes of the circuit breaker.', ['node', 'to']),
    loadSeconds: histogram('corral_node_model_load_seconds', 'Model loads that Corral started.', {
      labels: model,
      bounds: bounds.loadSeconds,
    }),
    loads: counter('corral_model_loads_total', 'Model loads that Corral started.', ['node', 'outcome']),
    wedges: counter('corral_wedges_freed_total', 'Stuck runners that the watchdog freed.', ['node']),
  }
}

/** States, filled anew at each scrape. */
function stateFamilies() {
  return {
    nodeUp: gauge('corral_node_up', 'Whether probes reach the node.', node),
    nodeInFlight: gauge('corral_inflight_requests', 'Tries under way, by node.', node),
    nodeSlots: gauge('corral_node_concurrency_limit', 'Requests sent at once to the models that a node has in memory.', node),
    nodeDraining: gauge('corral_node_draining', 'Whether the node gets no new requests by the wish of an operator.', node),
    circuitState: gauge('corral_node_circuit_state', '1 for the present state of the circuit breaker.', ['node', 'state']),
    nodeSeen: gauge('corral_node_last_seen_timestamp_seconds', 'When the node last answered.', node),
    queueDepth: gauge('corral_queue_depth', 'Requests that wait.', ['pool']),
    slots: gauge('corral_concurrency_limit', 'Requests of a pool sent at once.', ['pool']),
    drift: gauge('corral_model_digest_drift', 'Different digests behind one model name, less one.', model),
    modelLoaded: gauge('corral_node_model_loaded', 'Models in memory.', ['node', 'model']),
    modelVram: gauge('corral_node_model_vram_bytes', 'Graphics memory of a loaded model.', ['node', 'model']),
    modelExpiry: gauge('corral_node_model_expiry_timestamp_seconds', 'When a loaded model may be unloaded.', ['node', 'model']),
    nodeCertificateExpiry: gauge('corral_node_certificate_expiry_timestamp_seconds', 'When the certificate of an https node ends.', node),
    nodeCertificateLifetime: gauge('corral_node_certificate_lifetime_seconds', 'From the beginning of that certificate to its end.', node),
  }
}

/** Who is let in, and what need not be computed twice. */
function guardFamilies() {
  return {
    authentications: counter('corral_authentications_total', 'Decisions on credentials.', ['method', 'result']),
    keysExpiring: gauge(
      'corral_keys_expiring',
      'API keys in use that end within 7 days and have no successor; those made for 14 days or less do not count.',
      ['kind'],
    ),
    keyExpiry: gauge('corral_key_earliest_expiry_timestamp_seconds', 'When the first of such keys ends, however far away.', ['kind']),
    limited: counter('corral_limited_total', 'Requests turned away by a limit.', ['limit', 'scope']),
    usageDropped: counter('corral_usage_dropped_total', 'Usage records that were lost because the store was away for too long.'),
    cacheRequests: counter('corral_cache_requests_total', 'Requests by what the cache had to do with them.', ['kind', 'result']),
    cacheLayer: counter('corral_cache_layer_lookups_total', 'Lookups in the layers of the cache.', ['layer', 'result']),
    cacheLookup: histogram('corral_cache_lookup_seconds', 'Lookups in the layers behind memory, failed ones too.', {
      labels: ['layer'],
      bounds: bounds.overheadSeconds,
    }),
    cacheSavedTokens: counter('corral_cache_saved_tokens_total', 'Output tokens that nobody had to generate.'),
    cacheBytes: gauge('corral_cache_bytes', 'Bytes held by the cache in memory.'),
    cacheEntries: gauge('corral_cache_entries', 'Entries held by the cache in memory.'),
    cacheEvictions: counter('corral_cache_evictions_total', 'Entries that gave way to others; Redis does not tell of its own.', ['layer']),
    cacheFlights: gauge('corral_cache_flights', 'Shared answers under way.'),
    redisUp: gauge('corral_redis_up', 'Whether Redis is asked: 1, or 0 while it is left alone.'),
    redisCalls: counter('corral_redis_calls_total', 'Calls to Redis; those skipped went on without it.', ['result']),
  }
}

/** What Corral stands on. */
function storeFamilies() {
  return {
    dependencyUp: gauge('corral_dependency_up', 'Whether what Corral stands on answered when it was asked last.', ['dependency']),
    poolConnections: gauge(
      'corral_db_pool_connections',
      'Connections to the database in use and idle, and transactions that wait for one.',
      ['state'],
    ),
    querySeconds: histogram('corral_db_query_seconds', 'Transactions by name, the wait for a connection included.', {
      labels: ['query'],
      bounds: bounds.overheadSeconds,
    }),
    queryFailures: counter('corral_db_failures_total', 'Transactions that failed because of the database.', ['reason']),
    certificateExpiry: gauge(
      'corral_dependency_certificate_expiry_timestamp_seconds',
      'When the certificate ends of what is reached by TLS: database, Redis, issuers of tokens (the first of them), collector of traces.',
      ['dependency'],
    ),
    certificateLifetime: gauge('corral_dependency_certificate_lifetime_seconds', 'From the beginning of that certificate to its end.', [
      'dependency',
    ]),
    redisSeconds: histogram('corral_redis_command_seconds', 'Commands to Redis, those that came to nothing too.', {
      labels: ['command'],
      bounds: bounds.overheadSeconds,
    }),
  }
}

/** Documents, searches and grounded answers. */
function ragFamilies() {
  return {
    searches: counter('corral_searches_total', 'Searches by mode and result.', ['mode', 'result']),
    retrievalSeconds: histogram('corral_retrieval_seconds', 'Stages of a search.', { labels: ['stage'], bounds: bounds.retrievalSeconds }),
    retrievalResults: histogram('corral_retrieval_results', 'Hits of searches that the cache did not answer.', {
      labels: ['mode'],
      bounds: bounds.results,
    }),
    ingestSeconds: histogram('corral_ingest_stage_seconds', 'Stages of ingest jobs that were passed, the wait for their turn included.', {
      labels: ['stage'],
      bounds: bounds.ingestSeconds,
    }),
    retrievalTopScore: histogram('corral_retrieval_top_score', 'Score of the first hit, of searches that the cache did not answer.', {
      labels: ['mode'],
      bounds: bounds.scores,
    }),
    documents: counter('corral_documents_total', 'Documents that went through ingest, by kind and outcome.', ['kind', 'outcome']),
    chunks: counter('corral_chunks_total', 'Chunks of documents that were written.'),
    ingestBytes: counter('corral_ingest_bytes_total', 'Bytes of documents that were written.'),
    jobWait: histogram('corral_job_wait_seconds', 'From the upload to the first attempt at its ingest job.', {
      bounds: bounds.queueSeconds,
    }),
    jobDuration: histogram('corral_job_duration_seconds', 'Attempts at ingest jobs, by how they left the job.', {
      labels: ['state'],
      bounds: bounds.ingestSeconds,
    }),
    jobFailures: counter('corral_job_failures_total', 'Attempts at ingest jobs that did not reach the end, by error code.', ['reason']),
    embeddings: counter('corral_embeddings_total', 'Texts of documents that were given to an embedder.', ['outcome']),
    indexDocuments: gauge('corral_index_documents', 'Documents that can be found, of all tenants.'),
    indexChunks: gauge('corral_index_chunks', 'Their chunks.'),
    indexBytes: gauge('corral_index_bytes', 'Bytes of the tables that hold documents and their indexes.'),
    ragAnswers: counter('corral_rag_answers_total', 'Grounded answers by how they came about.', ['result']),
    citations: counter('corral_citations_total', 'Citations that answers carry, by how they got their place.', ['origin']),
    citationsDropped: counter('corral_citations_dropped_total', 'Citations taken out of answers, by reason.', ['reason']),
    ragPassages: counter(
      'corral_rag_passages_total',
      'Passages that answers were made from, by whether they look as if they commanded the model.',
      ['injection'],
    ),
    promptWithheld: counter('corral_prompt_withheld_total', 'Places in answers at which words of the instructions were withheld.'),
    jobs: gauge('corral_jobs', 'Ingest jobs that are not over, or failed.', ['state']),
    jobOldestAge: gauge('corral_job_oldest_age_seconds', 'Age of the oldest of them.', ['state']),
  }
}

/** The gateway itself. */
function processFamilies() {
  return {
    loopActive: counter('corral_event_loop_active_seconds_total', 'Time that the event loop was not idle.'),
    bugs: counter('corral_internal_errors_total', 'Unexpected errors in Corral itself.'),
    workers: gauge('corral_workers', 'Processes that serve this port together, as far as they answered this scrape.'),
    buildInfo: gauge('corral_build_info', 'Always 1; the version is a label.', ['version', 'node_version']),
    memoryLevel: gauge('corral_memory_pressure_level', 'What is given up for want of memory: 0 nothing, 3 all new requests.'),
    memoryRefused: counter('corral_memory_refused_total', 'Requests turned away for want of memory.', ['step']),
    configInfo: gauge('corral_config_info', 'Always 1; the label is a hash of the values in force, secrets left out.', ['hash']),
    configOk: gauge('corral_config_last_reload_successful', 'Whether the last reload of the configuration was taken.'),
    configAt: gauge('corral_config_last_reload_timestamp_seconds', 'When the configuration was last taken.'),
    lastScrape: gauge('corral_last_scrape_timestamp_seconds', 'When Prometheus last read the metrics before this.'),
    overflow: counter('corral_metric_label_overflow_total', 'Updates counted under other because labels had too many values.', [
      'metric',
      'label',
    ]),
    logDropped: counter('corral_log_dropped_total', 'Log lines lost because their reader was too slow.'),
    exportFailures: counter('corral_telemetry_export_failures_total', 'Deliveries to the collector that came to nothing.'),
    sseClients: gauge('corral_sse_clients', 'Listeners to the live feed of the console.'),
    traceSpans: counter('corral_trace_spans_total', 'Spans by what became of them: sent, dropped (queue full), refused or lost.', [
      'result',
    ]),
  }
}
