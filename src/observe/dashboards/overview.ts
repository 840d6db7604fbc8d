/** Is the promise kept, and where to look when it is not. */
import { badOutcomes, countedOutcomes, type ServiceLevel } from '../service-level.ts'
import type { DashboardHead } from './dashboard.ts'
import { p95, rateBy, rates } from './of-metric.ts'
import { figure, lines, type Panel, row, stack, table } from './panel.ts'
import { countIn, perSecond, pick, quantile, share, total } from './promql.ts'

/** The overview for a promise. */
export function overview(level: ServiceLevel): DashboardHead {
  return {
    uid: 'corral-overview',
    title: 'Corral / Overview',
    description: 'Service level, traffic, waiting and the state of the fleet.',
    panels: [row('Service level'), ...promise(level), row('Traffic'), ...traffic(), row('Fleet'), ...fleet()],
  }
}

const errorShare = (window: string): string =>
  share(countIn(window, 'corral_requests_total', badOutcomes), countIn(window, 'corral_requests_total', countedOutcomes))

function promise({ availability, firstTokenShare, firstTokenSeconds }: ServiceLevel): Panel[] {
  const budget = Number((1 - availability).toPrecision(6))
  const burn = (window: string) => ({ expr: `${errorShare(window)} / ${budget}`, legend: window })
  const fast = countIn('$__range', 'corral_time_to_first_token_seconds_bucket', `le="${firstTokenSeconds}"`)
  return [
    figure(
      {
        title: 'Availability, 30 days',
        description: `Share of requests that were good. Promised: ${availability}. Errors of clients do not count.`,
        queries: [{ expr: `1 - ${errorShare('30d')}`, instant: true }],
        unit: 'percentunit',
      },
      [['red', 0], ['green', availability]], // prettier-ignore
    ),
    figure(
      {
        title: 'Error budget left',
        description: 'What may still go wrong in these 30 days, as a share of what was allowed. Negative: the promise is broken.',
        queries: [{ expr: `1 - ${errorShare('30d')} / ${budget}`, instant: true }],
        unit: 'percentunit',
      },
      [['red', -1_000], ['orange', 0], ['green', 0.25]], // prettier-ignore
    ),
    figure(
      {
        title: `First token within ${firstTokenSeconds} s`,
        description: `Share of streams in the time shown. Promised: ${firstTokenShare}.`,
        queries: [{ expr: share(fast, countIn('$__range', 'corral_time_to_first_token_seconds_count')), instant: true }],
        unit: 'percentunit',
      },
      [['red', 0], ['green', firstTokenShare]], // prettier-ignore
    ),
    lines({
      title: 'Burn rate',
      description: 'How many times faster than allowed the error budget goes. 1 spends it in exactly 30 days; 14.4 over an hour pages.',
      queries: ['1h', '6h', '3d'].map(burn),
      width: 12,
      height: 4,
    }),
  ]
}

function traffic(): Panel[] {
  const firstToken = 'corral_time_to_first_token_seconds'
  return [
    stack({
      title: 'Requests by outcome',
      description: 'Requests per second by how they ended. `ok`, `client_error` and `client_gone` are not ours to mend.',
      queries: [rateBy('outcome', 'corral_requests_total')],
      unit: 'reqps',
    }),
    lines({
      title: 'Time to first token',
      description: 'From arrival to the first frame of a stream, waiting and model loads included.',
      queries: [0.5, 0.95, 0.99].map((at) => ({ expr: quantile(at, '', firstToken), legend: `p${at * 100}` })),
      unit: 's',
    }),
    lines({
      title: 'Tokens',
      description: 'Prompt and output tokens per second as nodes report them.',
      queries: [
        { expr: perSecond('', 'corral_input_tokens_total'), legend: 'prompt' },
        { expr: perSecond('', 'corral_output_tokens_total'), legend: 'output' },
      ],
      unit: 'short',
    }),
    p95('priority', 'corral_queue_wait_seconds', {
      title: 'Queue wait p95',
      description: 'How long requests that had to wait did so, by priority. High: the fleet is full; see Fleet.',
    }),
    table({
      title: 'Top models',
      description: 'Requests per second of the ten models with most.',
      queries: [{ expr: `topk(10, ${perSecond('model', 'corral_requests_total')})` }],
      unit: 'reqps',
    }),
    rates('reason', 'corral_queue_rejected_total', {
      title: 'Refusals by queues',
      description: 'Requests per second that no queue took or kept; each is a 503 with Retry-After.',
      unit: 'reqps',
    }),
  ]
}

function fleet(): Panel[] {
  return [
    figure(
      {
        title: 'Nodes up',
        description: 'Nodes that at least one replica reaches.',
        queries: [{ expr: `count(max by (node) (${pick('corral_node_up')}) == 1)` }],
      },
      [['red', 0], ['green', 1]], // prettier-ignore
    ),
    figure({
      title: 'Nodes',
      description: 'Nodes that replicas know.',
      queries: [{ expr: `count(count by (node) (${pick('corral_node_up')}))` }],
    }),
    figure({
      title: 'Under way',
      description: 'Requests that a node is to answer, waiting ones included.',
      queries: [{ expr: total('', 'corral_requests_in_flight') }],
    }),
    figure({ title: 'Waiting', description: 'Requests in queues.', queries: [{ expr: total('', 'corral_queue_depth') }] }),
    figure({
      title: 'Replicas',
      description: 'Replicas that Prometheus reaches.',
      queries: [{ expr: `count(${pick('corral_build_info')})` }],
    }),
    figure(
      {
        title: 'Alerts firing',
        description: 'Of the rules that `corral export alerts` writes. Each has a runbook.',
        queries: [{ expr: 'count(ALERTS{alertname=~"Corral.+",alertstate="firing"}) or vector(0)' }],
      },
      [['green', 0], ['red', 1]], // prettier-ignore
    ),
  ]
}
