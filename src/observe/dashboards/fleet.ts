/** The nodes: reachable, ejected, loaded, busy, and how evenly. */
import type { DashboardHead } from './dashboard.ts'
import { p95, rateBy, rates } from './of-metric.ts'
import { bands, lines, type Panel, row, stack, table } from './panel.ts'
import { perSecond, pick, share, total } from './promql.ts'

export const fleet: DashboardHead = {
  uid: 'corral-fleet',
  title: 'Corral / Fleet',
  description: 'State, load and models of every node.',
  panels: [row('State'), ...state(), ...failures(), row('Load'), ...busyness(), ...spread(), row('Models'), ...models()],
}

function state(): Panel[] {
  return [
    bands(
      {
        title: 'Reachable',
        description: 'Whether probes reach the node. Grey: drained by an operator.',
        queries: [
          {
            expr: `min by (node) (${pick('corral_node_up')} * (1 + ${pick('corral_node_draining')}))`,
            legend: '{{node}}',
          },
        ],
        width: 12,
      },
      { '0': { text: 'down', color: 'red' }, '1': { text: 'up', color: 'green' }, '2': { text: 'drained', color: 'text' } },
    ),
    bands(
      {
        title: 'Circuit breaker',
        description: 'Open: ejected, because too many of its answers failed. Half open: a trial request decides.',
        queries: [
          {
            expr: `max by (node) (${pick('corral_node_circuit_state', 'state="open"')} * 2 + on (job, instance, node) ${pick('corral_node_circuit_state', 'state="half_open"')})`,
            legend: '{{node}}',
          },
        ],
        width: 12,
      },
      { '0': { text: 'closed', color: 'green' }, '1': { text: 'half open', color: 'orange' }, '2': { text: 'open', color: 'red' } },
    ),
  ]
}

function failures(): Panel[] {
  return [
    lines(
      {
        title: 'Failed tries by node',
        description: 'Share of tries that ended otherwise than well, those of clients that left not counted.',
        queries: [
          {
            expr: share(
              perSecond('node', 'corral_node_requests_total', 'outcome!~"ok|client_error|client_gone"'),
              perSecond('node', 'corral_node_requests_total', 'outcome!="client_gone"'),
            ),
            legend: '{{node}}',
          },
        ],
        unit: 'percentunit',
      },
      { max: 1 },
    ),
    lines({
      title: 'Probe duration',
      description: 'Of the last good probe. A slow `ps` means a sick runner.',
      queries: [{ expr: `max by (node, probe) (${pick('corral_node_probe_duration_seconds')})`, legend: '{{node}} {{probe}}' }],
      unit: 's',
    }),
    rates('node', 'corral_node_probe_failures_total', {
      title: 'Probes that failed',
      description: 'Per second, by node.',
      unit: 'reqps',
    }),
    rates('node, to', 'corral_node_transitions_total', {
      title: 'Ups and downs',
      description: 'Changes of reachability per second.',
    }),
    rates('node, to', 'corral_node_circuit_transitions_total', {
      title: 'Ejections and returns',
      description: 'Changes of the circuit breaker per second.',
    }),
    lines({
      title: 'Last seen',
      description: 'Since the last answer of any kind.',
      queries: [{ expr: `time() - max by (node) (${pick('corral_node_last_seen_timestamp_seconds')})`, legend: '{{node}}' }],
      unit: 's',
    }),
  ]
}

function busyness(): Panel[] {
  return [
    lines({
      title: 'Under way by node',
      description: 'Tries on each node, and what is sent at once to the models that it has in memory.',
      queries: [
        { expr: total('node', 'corral_inflight_requests'), legend: '{{node}}' },
        { expr: total('node', 'corral_node_concurrency_limit'), legend: '{{node}} slots' },
      ],
    }),
    lines({
      title: 'Queue and what is sent at once, by model',
      description:
        'Waiting requests, and the slots of the pool. A queue beside free slots: the nodes that hold the model are down or ejected.',
      queries: [
        { expr: total('pool', 'corral_queue_depth'), legend: '{{pool}} waiting' },
        { expr: total('pool', 'corral_concurrency_limit'), legend: '{{pool}} slots' },
      ],
    }),
    p95('pool', 'corral_queue_wait_seconds', {
      title: 'Queue wait p95 by model',
      description: 'Of requests that had to wait.',
    }),
    rates('priority', 'corral_queue_wait_seconds_count', {
      title: 'Requests that waited, by priority',
      description: 'Per second. Of `interactive` few should have to.',
      unit: 'reqps',
    }),
  ]
}

function spread(): Panel[] {
  const dispatches = perSecond('node', 'corral_routing_decisions_total')
  return [
    stack({
      title: 'Share of nodes',
      description: 'Dispatches per second by node.',
      queries: [{ expr: dispatches, legend: '{{node}}' }],
      unit: 'reqps',
    }),
    lines({
      title: 'Balance',
      description: 'Dispatches of the busiest node over the mean of all. 1 is even; nodes of unequal strength are meant to differ.',
      queries: [{ expr: share(`max(${dispatches})`, `avg(${dispatches})`), legend: 'busiest / mean' }],
    }),
    stack({
      title: 'Why that node',
      description: 'Dispatches per second by reason. Many `cold` or `spill`: models do not fit the herd.',
      queries: [rateBy('reason', 'corral_routing_decisions_total')],
      unit: 'reqps',
    }),
    p95('node', 'corral_node_time_to_first_token_seconds', {
      title: 'First token p95 by node',
      description: 'Dispatch to the first frame: the node alone, without the queue.',
    }),
    p95('node', 'corral_node_request_duration_seconds', {
      title: 'Duration of tries p95 by node',
      description: 'Dispatch to the end of a try.',
    }),
  ]
}

function models(): Panel[] {
  return [
    table({
      title: 'Loaded models',
      description: 'Which node holds which model in memory.',
      queries: [{ expr: `max by (node, model) (${pick('corral_node_model_loaded')})` }],
    }),
    stack({
      title: 'Graphics memory by node',
      description: 'Of loaded models.',
      queries: [{ expr: `sum by (node) (max by (node, model) (${pick('corral_node_model_vram_bytes')}))`, legend: '{{node}}' }],
      unit: 'bytes',
    }),
    lines({
      title: 'Builds of one name',
      description: 'Different digests behind one model name, less one. Over 0: nodes answer differently.',
      queries: [{ expr: `max by (model) (${pick('corral_model_digest_drift')})`, legend: '{{model}}' }],
    }),
    rates('node, outcome', 'corral_model_loads_total', {
      title: 'Model loads',
      description: 'Started by Corral, per second. Many: models push one another out, or clients ask with different num_ctx.',
    }),
    p95('model', 'corral_node_model_load_seconds', {
      title: 'Load time p95',
      description: 'How long a load takes, by model.',
    }),
    rates('model', 'corral_model_reloads_avoided_total', {
      title: 'Reloads avoided',
      description: 'Requests per second whose num_ctx would have reloaded the model.',
    }),
    rates('node', 'corral_wedges_freed_total', {
      title: 'Stuck runners freed',
      description: 'By the watchdog, per second and node.',
    }),
  ]
}
