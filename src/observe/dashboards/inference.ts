/** How fast answers come, what they weigh, and what the gateway does to them. */
import type { DashboardHead } from './dashboard.ts'
import { p95, rateBy, rates } from './of-metric.ts'
import { heatmap, lines, type Panel, row, stack } from './panel.ts'
import { heat, mean, perSecond, quantile, quantileWhere, share } from './promql.ts'

export const inference: DashboardHead = {
  uid: 'corral-inference',
  title: 'Corral / Inference',
  description: 'Latency, tokens, caches and retries of inference.',
  panels: [row('Latency'), ...latency(), row('Tokens'), ...tokens(), row('Gateway'), ...gateway(), ...caches(), ...repeats()],
}

function latency(): Panel[] {
  return [
    heatmap({
      title: 'Request duration',
      description: 'Arrival to the end of the answer. Two clouds usually are two models, or loads.',
      queries: [{ expr: heat('corral_request_duration_seconds'), legend: '{{le}}' }],
      unit: 's',
    }),
    heatmap({
      title: 'Time to first token',
      description: 'Arrival to the first frame of a stream.',
      queries: [{ expr: heat('corral_time_to_first_token_seconds'), legend: '{{le}}' }],
      unit: 's',
    }),
    lines({
      title: 'Time per output token',
      description: 'Mean gap between tokens of a stream. Rises with the load of a node.',
      queries: [0.5, 0.95].map((at) => ({
        expr: quantile(at, 'model', 'corral_time_per_output_token_seconds'),
        legend: `{{model}} p${at * 100}`,
      })),
      unit: 's',
    }),
    lines({
      title: 'Pauses in streams',
      description: 'Between one piece of a stream and the next, as the node sends them. Readers see these; the mean above hides them.',
      queries: [0.5, 0.95, 0.99].map((at) => ({
        expr: quantile(at, '', 'corral_inter_token_latency_seconds'),
        legend: `p${at * 100}`,
      })),
      unit: 's',
    }),
    stack({
      title: 'Outcomes by operation',
      description: 'Requests per second by what was asked for and how it ended.',
      queries: [rateBy('op, outcome', 'corral_requests_total')],
      unit: 'reqps',
    }),
    p95('model', 'corral_time_to_first_token_seconds', {
      title: 'First token p95 by model',
      description: 'A model that is slow alone usually is loaded too often: see model loads.',
    }),
    p95('op', 'corral_request_duration_seconds', {
      title: 'Duration p95 by operation',
      description: 'Arrival to the end of the answer.',
    }),
    lines({
      title: 'Output tokens per second of one stream',
      description: 'What a user sees: one divided by the mean time per output token.',
      queries: [{ expr: `1 / (${mean('model', 'corral_time_per_output_token_seconds')} > 0)`, legend: '{{model}}' }],
    }),
  ]
}

function tokens(): Panel[] {
  return [
    heatmap({
      title: 'Prompt length',
      description: 'Prompt tokens of a request, as nodes report them.',
      queries: [{ expr: heat('corral_request_input_tokens'), legend: '{{le}}' }],
    }),
    heatmap({
      title: 'Output length',
      description: 'Output tokens of a request.',
      queries: [{ expr: heat('corral_request_output_tokens'), legend: '{{le}}' }],
    }),
    rates('model', 'corral_output_tokens_total', {
      title: 'Output tokens by model',
      description: 'Per second, over all nodes.',
    }),
    rates('reason', 'corral_undelivered_tokens_total', {
      title: 'Tokens nobody got',
      description: 'Output tokens per second of streams that did not reach their end: nodes worked for nothing.',
    }),
    rates('model, node', 'corral_context_truncated_total', {
      title: 'Prompts cut by their context',
      description: 'Per second. The node read what fits, and nobody was told: raise num_ctx, or send less.',
      unit: 'reqps',
    }),
    lines(
      {
        title: 'Prompt tokens from caches of nodes',
        description: 'Share of prompt tokens that a runner still had. High with conversations that stay on their node.',
        queries: [
          {
            expr: share(perSecond('model', 'corral_cached_input_tokens_total'), perSecond('model', 'corral_input_tokens_total')),
            legend: '{{model}}',
          },
        ],
        unit: 'percentunit',
      },
      { max: 1 },
    ),
  ]
}

function gateway(): Panel[] {
  return [
    lines({
      title: "The gateway's own time",
      description: 'Arrival, body included, to dispatch, of requests that did not wait. Over 10 ms: see Runtime.',
      queries: [0.5, 0.95, 0.99].map((at) => ({
        expr: quantileWhere(at, 'corral_overhead_seconds', 'phase="dispatch"'),
        legend: `p${at * 100}`,
      })),
      unit: 's',
    }),
    lines({
      title: "The gateway's own time by its parts",
      description: 'Who asks, the rest of the body, limits, caches, the choice of a node: means. A part that waits for a store shows here.',
      queries: [{ expr: mean('phase', 'corral_overhead_seconds', 'phase!="dispatch"'), legend: '{{phase}}' }],
      unit: 's',
    }),
    lines({
      title: 'The gateway beside its nodes',
      description: 'Means: arrival to dispatch, and dispatch to the first frame. The first should not show beside the second.',
      queries: [
        { expr: mean('', 'corral_overhead_seconds', 'phase="dispatch"'), legend: 'gateway' },
        { expr: mean('', 'corral_node_time_to_first_token_seconds'), legend: 'nodes' },
      ],
      unit: 's',
    }),
  ]
}

function caches(): Panel[] {
  const kinds = ['inference', 'embedding']
  return [
    lines(
      {
        title: 'Answered by the cache',
        description: 'Share of requests that the cache could have answered and did, shared answers under way included.',
        queries: kinds.map((kind) => ({
          expr: share(
            perSecond('', 'corral_cache_requests_total', `kind="${kind}"`, 'result=~"hit|joined|stale"'),
            perSecond('', 'corral_cache_requests_total', `kind="${kind}"`, 'result!="bypass"'),
          ),
          legend: kind,
        })),
        unit: 'percentunit',
      },
      { max: 1 },
    ),
    lines({
      title: 'Output tokens saved',
      description: 'Per second, that no node had to generate.',
      queries: [{ expr: perSecond('', 'corral_cache_saved_tokens_total'), legend: 'tokens' }],
    }),
    stack({
      title: 'Cache lookups',
      description: 'By what the cache had to do with them. `bypass`: not cacheable, or not asked for.',
      queries: [rateBy('kind, result', 'corral_cache_requests_total')],
      unit: 'reqps',
    }),
  ]
}

function repeats(): Panel[] {
  return [
    rates('reason', 'corral_retries_total', {
      title: 'Retries',
      description: 'Further tries by what failed before: users do not see them, but each is a fault of a node.',
      unit: 'reqps',
    }),
    rates('reason', 'corral_hedges_total', {
      title: 'Embedding shards sent twice',
      description: 'By reason. Many stragglers: a node is slower than its herd.',
      unit: 'reqps',
    }),
  ]
}
