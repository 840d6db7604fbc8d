/** The gateway's own process and what it depends on. */
import { validAttempts } from '../service-level.ts'
import type { DashboardHead } from './dashboard.ts'
import { p95, rateBy, rates } from './of-metric.ts'
import { lines, type Panel, row, table } from './panel.ts'
import { perSecond, pick, share, total } from './promql.ts'

const replica = '{{instance}}'
const authentications = 'corral_authentications_total'

export const runtime: DashboardHead = {
  uid: 'corral-runtime',
  title: 'Corral / Runtime and dependencies',
  description: 'Processor, memory, event loop, Redis, what ends, logs and scrapes of every replica.',
  panels: [
    row('Process'),
    ...processPanels(),
    row('Dependencies'),
    ...dependencies(),
    row('What ends'),
    ...endings(),
    row('Caches and refusals'),
    ...refusals(),
    row('Watching itself'),
    ...own(),
  ],
}

function processPanels(): Panel[] {
  return [
    rates('instance', 'process_cpu_seconds_total', {
      title: 'Processor',
      description: 'Cores in use. One worker cannot use much more than one.',
    }),
    lines({
      title: 'Event loop lag p99',
      description:
        'At rest 0.05 s, the time from one look to the next. Over 0.15 s: the process is out of processor; add a replica or a worker.',
      queries: [{ expr: `max by (instance) (${pick('nodejs_eventloop_lag_p99_seconds')})`, legend: replica }],
      unit: 's',
    }),
    rates('instance', 'corral_event_loop_active_seconds_total', {
      title: 'Event loop, share of time busy',
      description: 'Near 1: what comes in waits for what is under way. Of several workers their sum.',
      unit: 'percentunit',
    }),
    lines({
      title: 'Memory',
      description: 'Resident, and used by the heap.',
      queries: [
        { expr: total('instance', 'process_resident_memory_bytes'), legend: `${replica} resident` },
        { expr: total('instance', 'nodejs_heap_size_used_bytes'), legend: `${replica} heap` },
      ],
      unit: 'bytes',
    }),
    rates('instance', 'nodejs_gc_duration_seconds_sum', {
      title: 'Garbage collection',
      description: 'Share of time spent collecting.',
      unit: 'percentunit',
    }),
    lines({
      title: 'Open files',
      description: 'Sockets included. Near the limit new connections fail: raise it (LimitNOFILE).',
      queries: [
        { expr: total('instance', 'process_open_fds'), legend: `${replica} open` },
        { expr: total('instance', 'process_max_fds'), legend: `${replica} limit` },
      ],
    }),
    lines({
      title: 'Restarts',
      description: 'Starts of a replica in the last hour.',
      queries: [{ expr: `sum by (instance) (changes(${pick('process_start_time_seconds')}[1h]))`, legend: replica }],
    }),
  ]
}

function dependencies(): Panel[] {
  return [
    lines({
      title: 'Redis',
      description: '1 while it is asked, 0 while it is left alone: limits are local then, and caches miss. Nothing without REDIS_URL.',
      queries: [{ expr: `min by (instance) (${pick('corral_redis_up')})`, legend: replica }],
    }),
    rates('result', 'corral_redis_calls_total', {
      title: 'Calls to Redis',
      description: 'Per second. Those skipped went on without it.',
    }),
    lines({
      title: 'What Corral stands on',
      description: '1 while it answers. 0: the runbook of CorralDependencyDown tells what goes on without it.',
      queries: [{ expr: `min by (instance, dependency) (${pick('corral_dependency_up')})`, legend: `${replica} {{dependency}}` }],
    }),
    lines({
      title: 'Connections to the database',
      description: 'Those in use and idle, and transactions that wait for one. Waiting for long: too few, or something holds them.',
      queries: [{ expr: total('state', 'corral_db_pool_connections'), legend: '{{state}}' }],
    }),
    p95('query', 'corral_db_query_seconds', {
      title: 'Transactions p95',
      description: 'By name, the wait for a connection included.',
    }),
    rates('reason', 'corral_db_failures_total', {
      title: 'Transactions that failed',
      description: 'Because of the database, per second.',
    }),
    p95('command', 'corral_redis_command_seconds', {
      title: 'Commands to Redis p95',
      description: 'By command. Past `redis.commandTimeoutMs` Corral goes on without it.',
    }),
  ]
}

function endings(): Panel[] {
  const left = (label: string, metric: string) => ({ expr: `min by (${label}) (${pick(metric)}) - time()`, legend: `{{${label}}}` })
  return [
    lines({
      title: 'Certificates, time left',
      description:
        'Of https nodes, and of a database, Redis, issuers of tokens and collector of traces behind TLS. It rises when one is renewed; at 0 it has ended.',
      queries: [
        left('node', 'corral_node_certificate_expiry_timestamp_seconds'),
        left('dependency', 'corral_dependency_certificate_expiry_timestamp_seconds'),
      ],
      unit: 's',
    }),
    lines({
      title: 'API keys that end within 7 days',
      description: 'By kind, of all tenants: those in use without a successor, made for more than 14 days. `corral keys ls` names them.',
      queries: [{ expr: `max by (kind) (${pick('corral_keys_expiring')})`, legend: '{{kind}}' }],
    }),
    lines({
      title: 'The next API key to end, time left',
      description: 'By kind, of the same keys, however far away.',
      queries: [left('kind', 'corral_key_earliest_expiry_timestamp_seconds')],
      unit: 's',
    }),
  ]
}

function refusals(): Panel[] {
  return [
    lines({
      title: 'HTTP errors by route',
      description: 'Per second, of all routes: what clients did wrong (4xx) and what failed (5xx).',
      queries: [rateBy('route, code_class', 'corral_http_requests_total', 'code_class=~"[45]xx"')],
      unit: 'reqps',
    }),
    p95('route', 'corral_http_request_duration_seconds', {
      title: 'HTTP exchanges p95 by route',
      description: 'Arrival to the end of the exchange, streams included.',
    }),
    lines({
      title: 'HTTP exchanges under way',
      description: 'All that came to the port and is not over; of these, listeners to the live feed.',
      queries: [
        { expr: total('instance', 'corral_http_requests_in_flight'), legend: replica },
        { expr: total('instance', 'corral_sse_clients'), legend: `${replica} live` },
      ],
    }),
    rates('layer, result', 'corral_cache_layer_lookups_total', {
      title: 'Lookups in cache layers',
      description: 'Per second, by layer: what one has not got is looked for in the next.',
    }),
    p95('layer', 'corral_cache_lookup_seconds', {
      title: 'Lookups in cache layers p95',
      description: 'By layer behind memory. What a request that nobody kept pays before it is sent to a node.',
    }),
    ...admissions(),
    lines({
      title: 'Cache in memory',
      description: 'Bytes held.',
      queries: [{ expr: total('instance', 'corral_cache_bytes'), legend: replica }],
      unit: 'bytes',
    }),
    lines({
      title: 'Entries of the cache in memory, and answers shared under way',
      description: 'Counts.',
      queries: [
        { expr: total('instance', 'corral_cache_entries'), legend: `${replica} entries` },
        { expr: total('instance', 'corral_cache_flights'), legend: `${replica} shared` },
      ],
    }),
    rates('layer', 'corral_cache_evictions_total', {
      title: 'Entries evicted from caches',
      description: 'Per second, by layer. Steady in memory: `cache.memoryBytes` is smaller than what is asked for again.',
    }),
  ]
}

/** Who is let in. */
function admissions(): Panel[] {
  return [
    rates('limit, scope', 'corral_limited_total', {
      title: 'Refused by limits',
      description: 'Per second, by limit and whose it is.',
      unit: 'reqps',
    }),
    rates('method, result', authentications, {
      title: 'Decisions on credentials',
      description: 'Per second. A rise of what is not `granted`: a key ran out, or somebody tries.',
      unit: 'reqps',
    }),
    lines({
      title: 'Successful authentications',
      description:
        'Share of valid attempts that were let in. Not valid: what is missing, malformed, unknown, over or taken back. Below 1: the store or an issuer is away.',
      queries: [
        {
          expr: share(perSecond('', authentications, 'result="granted"'), perSecond('', authentications, validAttempts)),
          legend: 'of valid attempts',
        },
      ],
      unit: 'percentunit',
    }),
  ]
}

function own(): Panel[] {
  return [
    rates('instance', 'corral_internal_errors_total', {
      title: 'Errors of Corral itself',
      description: 'Per second. Any is a bug: the log has it under `unexpected error`.',
    }),
    lines({
      title: 'Memory pressure',
      description: 'What is given up for want of memory: 0 nothing, 3 all new requests.',
      queries: [{ expr: `max by (instance) (${pick('corral_memory_pressure_level')})`, legend: replica }],
    }),
    rates('step', 'corral_memory_refused_total', {
      title: 'Refused for want of memory',
      description: 'Per second, by what was given up.',
      unit: 'reqps',
    }),
    lines({
      title: 'Lost log lines, usage and traces',
      description: 'Per second. Spans are lost when the collector is away or slow.',
      queries: [
        { expr: perSecond('', 'corral_log_dropped_total'), legend: 'log lines' },
        { expr: perSecond('', 'corral_usage_dropped_total'), legend: 'usage records' },
        { expr: perSecond('', 'corral_telemetry_export_failures_total'), legend: 'deliveries to the collector' },
        rateBy('result', 'corral_trace_spans_total', 'result!="sent"'),
      ],
    }),
    lines({
      title: 'Workers',
      description: 'Processes that serve the port of a replica.',
      queries: [{ expr: `max by (instance) (${pick('corral_workers')})`, legend: replica }],
    }),
    rates('metric, label', 'corral_metric_label_overflow_total', {
      title: 'Labels that ran over',
      description: 'Updates per second counted under `other`.',
    }),
    lines({
      title: 'Scrape',
      description: 'How long Prometheus waits for the metrics of a replica.',
      queries: [{ expr: `max by (instance) (${pick('scrape_duration_seconds')})`, legend: replica }],
      unit: 's',
    }),
    lines({
      title: 'Series',
      description: 'Of one replica. Bounded by `observe.metrics.labelValuesMax`.',
      queries: [{ expr: `max by (instance) (${pick('scrape_samples_scraped')})`, legend: replica }],
    }),
    table({
      title: 'Versions',
      description: 'Replicas by version. More than one for long: an upgrade stands still.',
      queries: [{ expr: `count by (version, node_version) (${pick('corral_build_info')})` }],
    }),
  ]
}
