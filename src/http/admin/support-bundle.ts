/** All that somebody who helps wants to see, as one JSON value. Its parts are masked where they are made; nothing of a request's words is in it. */
import process from 'node:process'

import type { FeatureState, SettingsPage } from '../../core/operator-settings.ts'
import type { FleetSnapshot } from '../../fleet/snapshot.ts'
import type { Dependency } from '../../core/operator-settings.ts'

export interface BundleParts {
  readonly madeAt: string
  readonly version: string
  readonly config: SettingsPage
  readonly features: readonly FeatureState[]
  readonly fleet: FleetSnapshot
  readonly dependencies: readonly Dependency[]
  /** The text of a scrape. */
  readonly metrics: string
}

export function supportBundle(parts: BundleParts) {
  const { madeAt, version, metrics, ...rest } = parts
  const { rss, heapUsed, external } = process.memoryUsage()
  const runtime = {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    uptimeSeconds: Math.round(process.uptime()),
    rssBytes: rss,
    heapBytes: heapUsed,
    externalBytes: external,
  }
  return { madeAt, version, runtime, ...rest, errors: errorCounts(metrics), metrics }
}

/** Counters that grow when something goes wrong; of requests those whose outcome is neither good nor the client's own leaving. */
const troubles =
  /^corral_(requests|node_requests|retries|limited|internal_errors|queue_rejected|log_dropped|usage_dropped|memory_refused)_total/
const fine = /outcome="(ok|client_gone)"/

/** Since the start of the process, by the name and labels of the counter; what is 0 is left out. */
export function errorCounts(metrics: string): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const line of metrics.split('\n')) {
    if (!troubles.test(line) || fine.test(line)) continue
    const [, series = '', value = ''] = /^(.*[^ ]) ([0-9.e+]+)(?: #.*)?$/.exec(line) ?? []
    if (Number(value) > 0) counts[series] = Number(value)
  }
  return counts
}
