/** What all event functions share: metrics, logs, the rule for the `model` label, and the guard that keeps them from throwing. */
import { type Clock, loopActiveMs } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import type { EndedRequest } from './events.ts'
import { createLatencyObserver, type ObserveLatency } from './exemplar.ts'
import { createLogs, type Logs } from './log.ts'
import type { LineSink } from './line-sink.ts'
import { Metrics } from './metrics.ts'
import type { ObserveOptions } from './options.ts'
import { startProcessMetrics } from './process-metrics.ts'

export interface ObserverDeps {
  readonly options: () => ObserveOptions
  readonly clock: Clock
  readonly version: string
  /** Canonical name of a model that the fleet knows, else null: only those become label values. */
  readonly knownModel: (model: string) => string | null
  /** Whether the standard output is a terminal. */
  readonly terminal?: boolean
  /** Receives the log instead of the file or the standard output. */
  readonly sink?: LineSink
  /** Leaves out the metrics of the process. */
  readonly processMetrics?: boolean
  /** Hears of each request at its end; null or left out: nobody does. */
  readonly onRequest?: ((request: EndedRequest) => void) | null
}

export interface EventContext {
  readonly deps: ObserverDeps
  readonly metrics: Metrics
  readonly logs: Logs
  /** Calls whose rejection the relay layer has counted. */
  readonly counted: WeakSet<Call>
  modelLabel(model: string | null): string
  readonly observeLatency: ObserveLatency
  /** Makes an event function that cannot throw: it gives null instead. */
  quiet<A extends readonly unknown[], R>(action: (...event: A) => R): (...event: A) => R | null
}

/** Opens the logs and the registry. Throws when the log file cannot be opened. */
export function createEventContext(deps: ObserverDeps): EventContext {
  const { options, clock, terminal = false, sink } = deps
  const logs = createLogs({ options: options().log, clock, terminal, ...(sink === undefined ? {} : { sink }) })
  const processText = deps.processMetrics === false ? null : startProcessMetrics(options().metrics.enabled)
  const metrics = new Metrics({ labelValuesMax: () => options().metrics.labelValuesMax, processText })
  metrics.families.workers.child().value = 1
  metrics.families.buildInfo.child(deps.version, process.version).value = 1
  const dropped = metrics.families.logDropped.child()
  const loopActive = metrics.families.loopActive.child()
  metrics.addSource(() => {
    dropped.value = logs.sink.dropped
    loopActive.value = loopActiveMs() / 1_000
  })
  return {
    deps,
    metrics,
    logs,
    counted: new WeakSet(),
    observeLatency: createLatencyObserver(clock),
    modelLabel: (model) => {
      if (model === null) return 'none'
      const known = deps.knownModel(model)
      return known === null ? 'other' : metrics.model.admit(known)
    },
    quiet:
      (action) =>
      (...event) => {
        try {
          return action(...event)
        } catch {
          metrics.bugs.value += 1
          return null
        }
      },
  }
}
