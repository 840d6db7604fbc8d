// Every alert fires for what it is about, and keeps quiet where that is only near: Prometheus itself evaluates the rules over series made up
// for each.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'

import { alertsFor, renderRules } from '../../src/observe/alerts/rule-file.ts'
import { strangersIn } from './promql.ts'

interface Series {
  readonly series: string
  /** A value per minute, in promtool's words. */
  readonly values: string
}

interface Case {
  readonly fires: readonly Series[]
  readonly quiet: readonly Series[]
  /** When it is looked at. Default: two hours. */
  readonly at?: string
}

const minutes = 6 * 60

/** A series of one replica. */
function series(metric: string, labels: Readonly<Record<string, string>>, values: string): Series {
  const all = Object.entries({ job: 'corral', instance: 'a', ...labels }).map(([label, value]) => `${label}="${value}"`)
  return { series: `${metric}{${all.join(',')}}`, values }
}

const rising = (metric: string, perMinute: number, labels: Readonly<Record<string, string>> = {}): Series =>
  series(metric, labels, `0+${perMinute}x${minutes}`)
const steady = (metric: string, value: number, labels: Readonly<Record<string, string>> = {}): Series =>
  series(metric, labels, `${value}x${minutes}`)

/** Requests a minute by outcome. */
const requests = (perMinute: Readonly<Record<string, number>>): Series[] =>
  Object.entries(perMinute).map(([outcome, count]) => rising('corral_requests_total', count, { op: 'chat', model: 'm', outcome }))

/** Streams a minute, and how many of them had their first token in time. */
const streams = (all: number, inTime: number): Series[] => [
  rising('corral_time_to_first_token_seconds_bucket', inTime, { model: 'm', le: '2.5' }),
  rising('corral_time_to_first_token_seconds_bucket', all, { model: 'm', le: '+Inf' }),
  rising('corral_time_to_first_token_seconds_count', all, { model: 'm' }),
]

/** Waits a minute, and how many of them were over within 10 s. */
const waits = (priority: string, all: number, short: number): Series[] => [
  rising('corral_queue_wait_seconds_bucket', short, { pool: 'm', priority, le: '10' }),
  rising('corral_queue_wait_seconds_bucket', all, { pool: 'm', priority, le: '30' }),
  rising('corral_queue_wait_seconds_bucket', all, { pool: 'm', priority, le: '+Inf' }),
]

const searches = (perMinute: Readonly<Record<string, number>>): Series[] =>
  Object.entries(perMinute).map(([result, count]) => rising('corral_searches_total', count, { mode: 'hybrid', result }))

const node = { node: 'n1' }

/** Series that change at each minute between two values. */
const flapping = (metric: string, labels: Readonly<Record<string, string>>): Series =>
  series(metric, labels, Array.from({ length: minutes }, (_, minute) => minute % 2).join(' '))

/** Decisions on keys per minute. */
const decided = (result: string, perMinute: number) => rising('corral_authentications_total', perMinute, { method: 'key', result })

const day = 86_400
/** The time that `cases` are looked at, seconds. */
const lookedAt = 7_200

/** A certificate that lives for `lifeDays` and ends `leftDays` after the look. */
const certificate = (of: 'node' | 'dependency', { lifeDays, leftDays }: { lifeDays: number; leftDays: number }): Series[] => {
  const labels = of === 'node' ? node : { dependency: 'redis' }
  return [
    steady(`corral_${of}_certificate_expiry_timestamp_seconds`, lookedAt + leftDays * day, labels),
    steady(`corral_${of}_certificate_lifetime_seconds`, lifeDays * day, labels),
  ]
}

const cases: Readonly<Record<string, Case>> = {
  CorralErrorBudgetBurnFast: {
    fires: requests({ ok: 90, node_error: 10 }),
    quiet: requests({ ok: 40, client_error: 50, client_gone: 10 }),
  },
  CorralErrorBudgetBurnMedium: { fires: requests({ ok: 99, node_error: 1 }), quiet: requests({ ok: 999, node_error: 1 }) },
  CorralErrorBudgetBurnSlow: { fires: requests({ ok: 997, node_error: 3 }), quiet: requests({ ok: 9_995, node_error: 5 }), at: '5h' },
  CorralFirstTokenBurnFast: { fires: streams(100, 10), quiet: streams(100, 97) },
  CorralFirstTokenBurnSlow: { fires: streams(100, 90), quiet: streams(100, 97), at: '5h' },
  CorralDown: { fires: [steady('up', 0)], quiet: [steady('up', 0, { instance: 'b' }), steady('up', 1)] },
  CorralReplicaDown: {
    fires: [steady('up', 0, { instance: 'b' }), steady('up', 1), steady('up', 1, { instance: 'c' })],
    quiet: [steady('up', 1, { instance: 'b' }), steady('up', 1)],
  },
  CorralNoNode: {
    fires: [steady('corral_node_up', 0, node), steady('corral_node_up', 0, { node: 'n2' })],
    quiet: [steady('corral_node_up', 0, node), steady('corral_node_up', 1, { node: 'n2' })],
  },
  CorralNodeDown: {
    fires: [steady('corral_node_up', 0, node), steady('corral_node_draining', 0, node)],
    quiet: [steady('corral_node_up', 0, node), steady('corral_node_draining', 1, node)],
  },
  CorralNodeFlapping: { fires: [flapping('corral_node_up', node)], quiet: [steady('corral_node_up', 1, node)] },
  CorralNodeEjected: {
    fires: [rising('corral_node_circuit_transitions_total', 1, { ...node, to: 'open' })],
    quiet: [rising('corral_node_circuit_transitions_total', 1, { ...node, to: 'closed' })],
  },
  CorralQueueSlow: { fires: waits('interactive', 60, 50), quiet: [...waits('batch', 60, 50), ...waits('interactive', 60, 60)] },
  CorralQueueRejecting: {
    fires: [rising('corral_queue_rejected_total', 10, { pool: 'm', reason: 'full' })],
    quiet: [rising('corral_queue_rejected_total', 1, { pool: 'm', reason: 'full' })],
  },
  CorralModelLoadStorm: {
    fires: [rising('corral_model_loads_total', 2, { ...node, outcome: 'ok' })],
    quiet: [rising('corral_model_loads_total', 0.5, { ...node, outcome: 'ok' })],
  },
  CorralModelLoadFailing: {
    fires: [rising('corral_model_loads_total', 1, { ...node, outcome: 'failed' })],
    quiet: [
      rising('corral_model_loads_total', 1, { ...node, outcome: 'ok' }),
      steady('corral_model_loads_total', 2, { ...node, outcome: 'failed' }),
    ],
  },
  CorralContextTruncated: {
    fires: [rising('corral_context_truncated_total', 2, { ...node, model: 'm' })],
    quiet: [steady('corral_context_truncated_total', 200, { ...node, model: 'm' })],
  },
  CorralTokensUndelivered: {
    fires: [rising('corral_undelivered_tokens_total', 400, { model: 'm', reason: 'disconnect' })],
    quiet: [
      rising('corral_undelivered_tokens_total', 400, { model: 'm', reason: 'disconnect' }),
      rising('corral_output_tokens_total', 9_000, { ...node, model: 'm' }),
      rising('corral_undelivered_tokens_total', 5, { model: 'seldom', reason: 'broken' }),
    ],
  },
  CorralModelDigestDrift: {
    fires: [steady('corral_model_digest_drift', 1, { model: 'm' })],
    quiet: [steady('corral_model_digest_drift', 0, { model: 'm' })],
  },
  CorralStuckRunners: {
    fires: [rising('corral_wedges_freed_total', 0.1, node)],
    quiet: [rising('corral_wedges_freed_total', 0.02, node)],
  },
  CorralIngestStuck: {
    fires: [series('corral_job_oldest_age_seconds', { state: 'queued' }, `0+60x${minutes}`)],
    quiet: [
      series('corral_job_oldest_age_seconds', { state: 'failed' }, `0+60x${minutes}`),
      steady('corral_job_oldest_age_seconds', 60, { state: 'queued' }),
    ],
  },
  CorralSearchDegraded: { fires: searches({ ok: 80, degraded: 15, failed: 5 }), quiet: searches({ ok: 95, empty: 30, degraded: 5 }) },
  CorralSearchEmpty: { fires: searches({ ok: 60, empty: 40 }), quiet: searches({ ok: 80, empty: 20 }) },
  CorralBug: { fires: [rising('corral_internal_errors_total', 1)], quiet: [steady('corral_internal_errors_total', 3)] },
  CorralEventLoopBusy: {
    fires: [steady('nodejs_eventloop_lag_p99_seconds', 0.4)],
    quiet: [steady('nodejs_eventloop_lag_p99_seconds', 0.1)],
  },
  CorralMemoryPressure: { fires: [steady('corral_memory_pressure_level', 1)], quiet: [steady('corral_memory_pressure_level', 0)] },
  CorralConfigRefused: {
    fires: [steady('corral_config_last_reload_successful', 0)],
    quiet: [steady('corral_config_last_reload_successful', 1)],
  },
  CorralRedisAway: { fires: [steady('corral_redis_up', 0)], quiet: [steady('corral_redis_up', 1)] },
  CorralAuthenticationUndecided: {
    fires: [decided('granted', 98), decided('undecided', 2), decided('unknown', 5_000)],
    quiet: [decided('granted', 995), decided('undecided', 5), decided('missing', 5_000)],
  },
  CorralDependencyDown: {
    fires: [steady('corral_dependency_up', 0, { dependency: 'database' })],
    quiet: [steady('corral_dependency_up', 0, { dependency: 'redis' }), steady('corral_dependency_up', 1, { dependency: 'database' })],
  },
  CorralDatabaseBusy: {
    fires: [steady('corral_db_pool_connections', 3, { state: 'waiting' })],
    quiet: [steady('corral_db_pool_connections', 0, { state: 'waiting' }), steady('corral_db_pool_connections', 3, { state: 'used' })],
  },
  CorralVersionSkew: {
    fires: [steady('corral_build_info', 1, { version: '1' }), steady('corral_build_info', 1, { instance: 'b', version: '2' })],
    quiet: [steady('corral_build_info', 1, { version: '1' }), steady('corral_build_info', 1, { instance: 'b', version: '1' })],
  },
  CorralCertificateExpiring: {
    fires: certificate('node', { lifeDays: 90, leftDays: 6 }),
    quiet: [...certificate('node', { lifeDays: 90, leftDays: 8 }), ...certificate('dependency', { lifeDays: 6, leftDays: 2 })],
  },
  CorralCertificateExpiringSoon: {
    fires: certificate('dependency', { lifeDays: 365, leftDays: -1 }),
    quiet: [...certificate('dependency', { lifeDays: 365, leftDays: 2 }), ...certificate('node', { lifeDays: 0.5, leftDays: 0.25 })],
  },
  CorralKeyExpiring: {
    fires: [steady('corral_keys_expiring', 0, { kind: 'ed25519' }), steady('corral_keys_expiring', 2, { kind: 'secret' })],
    quiet: [steady('corral_keys_expiring', 0, { kind: 'ed25519' }), steady('corral_keys_expiring', 0, { kind: 'secret' })],
  },
  CorralUsageLost: { fires: [rising('corral_usage_dropped_total', 1)], quiet: [steady('corral_usage_dropped_total', 1)] },
  CorralLogLost: { fires: [rising('corral_log_dropped_total', 1)], quiet: [steady('corral_log_dropped_total', 1)] },
  CorralLabelOverflow: {
    fires: [rising('corral_metric_label_overflow_total', 1, { metric: 'all', label: 'model' })],
    quiet: [steady('corral_metric_label_overflow_total', 1, { metric: 'all', label: 'model' })],
  },
}

const promtool = process.env['PROMTOOL'] ?? 'promtool'
const hasPromtool = spawnSync(promtool, ['--version']).error === undefined

/** What promtool says to the cases; empty when each alert does what is expected. */
function disagreements(given: Readonly<Record<string, Case>>): string {
  const tests = Object.entries(given).flatMap(([name, { fires, quiet, at = '2h' }]) =>
    [
      { input: fires, isFiring: true },
      { input: quiet, isFiring: false },
    ].map(({ input, isFiring }) => ({
      interval: '1m',
      input_series: input,
      promql_expr_test: [
        {
          expr: `count(ALERTS{alertname="${name}",alertstate="firing"}) > 0`,
          eval_time: at,
          exp_samples: isFiring ? [{ labels: '{}', value: 1 }] : [],
        },
      ],
    })),
  )
  return promtoolSays(tests)
}

/** What promtool says to these tests of the rules; empty when all hold. */
function promtoolSays(tests: readonly object[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'corral-alerts-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'alerts.yaml'), renderRules())
  writeFileSync(
    join(folder, 'tests.yaml'),
    stringify({ rule_files: ['alerts.yaml'], evaluation_interval: '5m', tests }, { aliasDuplicateObjects: false }),
  )
  const { status, stdout, stderr } = spawnSync(promtool, ['test', 'rules', 'tests.yaml'], { cwd: folder, encoding: 'utf8' })
  return status === 0 ? '' : stdout + stderr
}

test('there is a case for every alert', () => {
  expect(Object.keys(cases).toSorted()).toEqual(
    alertsFor()
      .map(({ name }) => name)
      .toSorted(),
  )
})

test.runIf(hasPromtool)('each alert fires for its cause, and not for what is near', () => {
  expect(disagreements(cases)).toBe('')
})

test.runIf(hasPromtool)('a case can fail', () => {
  const [name = '', given = { fires: [], quiet: [] }] = Object.entries(cases)[0] ?? []
  expect(disagreements({ [name]: { ...given, quiet: given.fires } })).toMatch(/exp: nil\s+got: \{\} 1/)
})

test.runIf(hasPromtool)('a summary says whose certificate ends, and how much of it is left', () => {
  const summaryOf = (of: 'node' | 'dependency', summary: string) => ({
    interval: '1m',
    input_series: certificate(of, { lifeDays: 90, leftDays: 1.5 }),
    alert_rule_test: [
      {
        eval_time: '2h',
        alertname: 'CorralCertificateExpiring',
        exp_alerts: [
          {
            exp_labels: { severity: 'ticket', job: 'corral', ...(of === 'node' ? node : { dependency: 'redis' }) },
            exp_annotations: {
              summary,
              runbook_url: 'docs/runbooks/CorralCertificateExpiring.md',
              dashboard: '/d/corral-runtime',
            },
          },
        ],
      },
    ],
  })
  const say = (name: string): string => `the certificate of ${name} holds for 1d 12h 0m 0s more`
  expect(promtoolSays([summaryOf('node', say('n1')), summaryOf('dependency', say('redis'))])).toBe('')
})

test('every expression names metrics and labels that there are', () => {
  const records = [...renderRules().matchAll(/record: (\S+)/g)].map(([, name = '']) => name)
  expect(records.length).toBeGreaterThan(5)
  expect(alertsFor().flatMap(({ name, expr }) => strangersIn(expr, { records }).map((strange) => `${name}: ${strange}`))).toEqual([])
})
