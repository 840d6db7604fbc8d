/** Alerts on causes: what an operator must mend, whether or not users feel it yet. */
import { failedAttempts, validAttempts } from '../service-level.ts'
import { type Alert, hour, minute, type Span } from './alert.ts'
import { expiryAlerts } from './expiry.ts'

/** All of them. */
export function causeAlerts(span: Span): Alert[] {
  return [
    ...reachAlerts(span),
    ...fleetAlerts(span),
    ...modelAlerts(span),
    ...documentAlerts(span),
    ...processAlerts(span),
    ...dependencyAlerts(span),
    ...expiryAlerts(),
    ...lossAlerts(span),
  ]
}

function reachAlerts(span: Span): Alert[] {
  return [
    {
      name: 'CorralDown',
      expr: 'absent(up{job="corral"} == 1)',
      forSeconds: 5 * minute,
      severity: 'page',
      summary: 'Prometheus reaches no replica of Corral',
      dashboard: 'corral-runtime',
    },
    {
      // Where all are gone the page above says so. Where a discovery drops what is dead, it has an alert of its own for it.
      name: 'CorralReplicaDown',
      expr: 'up{job="corral"} == 0 and on (job) up{job="corral"} == 1',
      forSeconds: 5 * minute,
      severity: 'ticket',
      summary: 'Prometheus does not reach {{ $labels.instance }}, but others',
      dashboard: 'corral-runtime',
    },
    {
      name: 'CorralNoNode',
      expr: 'max by (job, instance) (corral_node_up) == 0',
      forSeconds: minute,
      severity: 'page',
      summary: '{{ $labels.instance }} reaches none of its nodes',
      dashboard: 'corral-fleet',
    },
    {
      name: 'CorralNodeDown',
      expr: 'max by (job, node) (corral_node_up) == 0 unless max by (job, node) (corral_node_draining) == 1',
      forSeconds: 5 * minute,
      severity: 'ticket',
      summary: 'no replica reaches node {{ $labels.node }}',
      dashboard: 'corral-fleet',
    },
    {
      name: 'CorralNodeFlapping',
      expr: `max by (job, node) (changes(corral_node_up[${span(15 * minute)}])) > 4`,
      forSeconds: 0,
      severity: 'ticket',
      summary: 'node {{ $labels.node }} changed {{ $value }} times between up and down in 15 minutes',
      dashboard: 'corral-fleet',
    },
    {
      name: 'CorralNodeEjected',
      expr: `sum by (job, node) (increase(corral_node_circuit_transitions_total{to="open"}[${span(30 * minute)}])) > 3`,
      forSeconds: 0,
      severity: 'ticket',
      summary: 'node {{ $labels.node }} was ejected {{ $value | humanize }} times in 30 minutes',
      dashboard: 'corral-fleet',
    },
  ]
}

function fleetAlerts(span: Span): Alert[] {
  return [
    {
      name: 'CorralQueueSlow',
      expr: `histogram_quantile(0.95, sum by (job, le, pool) (rate(corral_queue_wait_seconds_bucket{priority="interactive"}[${span(5 * minute)}]))) > 10`,
      forSeconds: 10 * minute,
      severity: 'ticket',
      summary: 'interactive requests for {{ $labels.pool }} wait {{ $value | humanizeDuration }} (p95)',
      dashboard: 'corral-fleet',
    },
    {
      name: 'CorralQueueRejecting',
      expr: `sum by (job, pool, reason) (rate(corral_queue_rejected_total[${span(5 * minute)}])) > 0.1`,
      forSeconds: 10 * minute,
      severity: 'ticket',
      summary: '{{ $value | humanize }} requests for {{ $labels.pool }} a second are refused ({{ $labels.reason }})',
      dashboard: 'corral-fleet',
    },
    {
      name: 'CorralModelLoadStorm',
      expr: `sum by (job, node) (increase(corral_model_loads_total[${span(15 * minute)}])) > 15`,
      forSeconds: 5 * minute,
      severity: 'ticket',
      summary: 'node {{ $labels.node }} loaded models {{ $value | humanize }} times in 15 minutes',
      dashboard: 'corral-fleet',
    },
    {
      name: 'CorralModelLoadFailing',
      expr: `sum by (job, node) (increase(corral_model_loads_total{outcome="failed"}[${span(15 * minute)}])) > 2`,
      forSeconds: 0,
      severity: 'ticket',
      summary: '{{ $value | humanize }} model loads failed on node {{ $labels.node }} in 15 minutes',
      dashboard: 'corral-fleet',
    },
  ]
}

function modelAlerts(span: Span): Alert[] {
  const tokens = (counter: string): string => `sum by (job, model) (rate(${counter}[${span(15 * minute)}]))`
  const undelivered = tokens('corral_undelivered_tokens_total')
  // A model of which nothing was ever delivered has no such series.
  const delivered = `(${tokens('corral_output_tokens_total')} or ${undelivered} * 0)`
  return [
    {
      name: 'CorralContextTruncated',
      expr: `sum by (job, model) (increase(corral_context_truncated_total[${span(15 * minute)}])) > 10`,
      forSeconds: 0,
      severity: 'ticket',
      summary: '{{ $value | humanize }} prompts to {{ $labels.model }} were longer than its context in 15 minutes',
      dashboard: 'corral-inference',
    },
    {
      name: 'CorralTokensUndelivered',
      expr: `${undelivered} / (${undelivered} + ${delivered} > 1) > 0.1`,
      forSeconds: 10 * minute,
      severity: 'ticket',
      summary: '{{ $value | humanizePercentage }} of the tokens of {{ $labels.model }} reached nobody',
      dashboard: 'corral-inference',
    },
    {
      name: 'CorralModelDigestDrift',
      expr: 'max by (job, model) (corral_model_digest_drift) > 0',
      forSeconds: hour,
      severity: 'ticket',
      summary: 'nodes hold {{ $value | humanize }} more builds than one of {{ $labels.model }}',
      dashboard: 'corral-fleet',
    },
    {
      name: 'CorralStuckRunners',
      expr: `sum by (job, node) (increase(corral_wedges_freed_total[${span(hour)}])) > 2`,
      forSeconds: 0,
      severity: 'ticket',
      summary: '{{ $value | humanize }} stuck runners were freed on node {{ $labels.node }} in an hour',
      dashboard: 'corral-fleet',
    },
  ]
}

function documentAlerts(span: Span): Alert[] {
  const searches = `sum by (job) (rate(corral_searches_total[${span(15 * minute)}]))`
  const share = (results: string): string =>
    `sum by (job) (rate(corral_searches_total{result=~"${results}"}[${span(15 * minute)}])) / (${searches} > 0)`
  return [
    {
      name: 'CorralIngestStuck',
      expr: 'max by (job) (corral_job_oldest_age_seconds{state="queued"}) > 900',
      forSeconds: 10 * minute,
      severity: 'ticket',
      summary: 'a document has waited {{ $value | humanizeDuration }} for its turn',
      dashboard: 'corral-documents',
    },
    {
      name: 'CorralSearchDegraded',
      expr: `${share('degraded|failed')} > 0.1`,
      forSeconds: 10 * minute,
      severity: 'ticket',
      summary: '{{ $value | humanizePercentage }} of searches failed, or were answered by one leg alone',
      dashboard: 'corral-documents',
    },
    {
      name: 'CorralSearchEmpty',
      expr: `${share('empty')} > 0.3`,
      forSeconds: hour,
      severity: 'ticket',
      summary: '{{ $value | humanizePercentage }} of searches find nothing',
      dashboard: 'corral-documents',
    },
  ]
}

function processAlerts(span: Span): Alert[] {
  return [
    anyCounted('CorralBug', {
      counter: `corral_internal_errors_total[${span(15 * minute)}]`,
      by: 'instance',
      summary: '{{ $labels.instance }} met {{ $value | humanize }} unexpected errors in 15 minutes',
    }),
    {
      name: 'CorralEventLoopBusy',
      expr: 'max by (job, instance) (nodejs_eventloop_lag_p99_seconds{job="corral"}) > 0.25',
      forSeconds: 5 * minute,
      severity: 'ticket',
      summary: 'the event loop of {{ $labels.instance }} lags {{ $value | humanizeDuration }} (p99)',
      dashboard: 'corral-runtime',
    },
    {
      name: 'CorralMemoryPressure',
      expr: 'max by (job, instance) (corral_memory_pressure_level) > 0',
      forSeconds: 5 * minute,
      severity: 'ticket',
      summary: '{{ $labels.instance }} is short of memory (step {{ $value }} of 3) and turns requests away',
      dashboard: 'corral-runtime',
    },
  ]
}

/** Decisions on good credentials in the last quarter of an hour below which nothing is said. */
const attemptsMin = 50

function undecidedAuthentications(span: Span): Alert {
  const over = `[${span(15 * minute)}]`
  const perSecond = (which: string): string => `sum by (job) (rate(corral_authentications_total{${which}}${over}))`
  const enough = `sum by (job) (increase(corral_authentications_total{${validAttempts}}${over})) > ${attemptsMin}`
  return {
    name: 'CorralAuthenticationUndecided',
    expr: `${perSecond(failedAttempts)} / ${perSecond(validAttempts)} > 0.01 and ${enough}`,
    forSeconds: 5 * minute,
    severity: 'ticket',
    summary: '{{ $value | humanizePercentage }} of valid attempts to authenticate could not be decided; promised are 1 %',
    dashboard: 'corral-runtime',
  }
}

function dependencyAlerts(span: Span): Alert[] {
  return [
    undecidedAuthentications(span),
    {
      name: 'CorralConfigRefused',
      expr: 'min by (job, instance) (corral_config_last_reload_successful) == 0',
      forSeconds: 5 * minute,
      severity: 'ticket',
      summary: '{{ $labels.instance }} refused its new configuration and runs with the old one',
      dashboard: 'corral-runtime',
    },
    {
      name: 'CorralRedisAway',
      expr: 'min by (job, instance) (corral_redis_up) == 0',
      forSeconds: 5 * minute,
      severity: 'ticket',
      summary: '{{ $labels.instance }} goes on without Redis: limits hold per replica, caches are not shared',
      dashboard: 'corral-runtime',
    },
    {
      name: 'CorralDependencyDown',
      expr: 'min by (job, instance, dependency) (corral_dependency_up{dependency!="redis"}) == 0',
      forSeconds: 5 * minute,
      severity: 'ticket',
      summary: '{{ $labels.instance }} does not reach its {{ $labels.dependency }}',
      dashboard: 'corral-runtime',
    },
    {
      name: 'CorralDatabaseBusy',
      expr: 'min by (job, instance) (corral_db_pool_connections{state="waiting"}) > 0',
      forSeconds: 5 * minute,
      severity: 'ticket',
      summary: '{{ $value | humanize }} transactions of {{ $labels.instance }} wait for a connection to the database',
      dashboard: 'corral-runtime',
    },
    {
      name: 'CorralVersionSkew',
      expr: 'count by (job) (count by (job, version) (corral_build_info)) > 1',
      forSeconds: hour,
      severity: 'ticket',
      summary: 'replicas run {{ $value }} different versions',
      dashboard: 'corral-runtime',
    },
  ]
}

function lossAlerts(span: Span): Alert[] {
  return [
    anyCounted('CorralUsageLost', {
      counter: `corral_usage_dropped_total[${span(hour)}]`,
      by: null,
      summary: '{{ $value | humanize }} usage records were lost in an hour',
    }),
    anyCounted('CorralLogLost', {
      counter: `corral_log_dropped_total[${span(hour)}]`,
      by: 'instance',
      summary: '{{ $labels.instance }} lost {{ $value | humanize }} log lines in an hour',
    }),
    anyCounted('CorralLabelOverflow', {
      counter: `corral_metric_label_overflow_total[${span(hour)}]`,
      by: 'label',
      summary: 'metrics count under "other" because {{ $labels.label }} has too many values',
    }),
  ]
}

interface Counted {
  /** With the time it is looked at. */
  readonly counter: string
  /** The label that tells places apart, beside the job. */
  readonly by: string | null
  readonly summary: string
}

/** A ticket as soon as something is counted that has no business to happen. */
function anyCounted(name: string, { counter, by, summary }: Counted): Alert {
  const labels = by === null ? 'job' : `job, ${by}`
  const expr = `sum by (${labels}) (increase(${counter})) > 0`
  return { name, expr, forSeconds: 0, severity: 'ticket', summary, dashboard: 'corral-runtime' }
}
