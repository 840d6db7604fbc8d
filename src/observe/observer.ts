/**
 * What the gateway reports of itself: one function per business event, each of which updates metrics, writes a log line, or
 * both. The functions are free-standing (they may be passed around), never throw and never wait. The fleet's event
 * interfaces are met by shape, because this folder is below the fleet and may not know it.
 */
import type { Clock } from '../base/clock.ts'
import type { Call, Priority } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Outcome, Usage } from '../core/relay.ts'
import type { RouteFacts } from '../core/route.ts'
import type { AccessRecord } from './access-log.ts'
import { createLogs, type Logger } from './log.ts'
import type { LineSink } from './line-sink.ts'
import { Metrics } from './metrics.ts'
import type { ObserveOptions } from './options.ts'
import { outcomeLabel } from './outcome.ts'
import { startProcessMetrics } from './process-metrics.ts'

/** A try on a node, as far as it is counted here. */
export interface ObservedAttempt {
  readonly claim: { readonly runner: { readonly node: string; readonly model: string; readonly bounded: boolean }; readonly waitedMs: number }
  readonly call: Call
  readonly startedAtMs: number
  readonly usage: Usage | null
}

/** A request at its end, as the relay layer saw it. */
export interface EndedRequest {
  readonly facts: RouteFacts
  readonly method: string
  readonly model: string | null
  readonly call: Call
  readonly status: number
  readonly stream: boolean
  readonly outcome: Outcome
  readonly node: string | null
  readonly reason: string | null
  readonly attempts: number
  /** Monotonic ms of the first frame of a stream; null for whole answers and failures. */
  readonly firstFrameAtMs: number | null
}

export interface Observer {
  readonly logger: Logger
  readonly metrics: Metrics
  requestStarted(): void
  requestEnded(request: EndedRequest): void
  /** A request that failed before the relay took it: an unreadable body, a refused header. */
  requestRefused(facts: RouteFacts, error: CorralError, call: Call): void
  bug(error: unknown, call: Call | null): void
  attemptEnded(attempt: ObservedAttempt, result: { readonly outcome: Outcome['kind']; readonly ttftMs: number | null }): void
  queued(pool: string, depth: number): void
  dequeued(pool: string, depth: number, waitedMs: number, priority: Priority): void
  rejected(pool: string, reason: 'full' | 'deadline' | 'no_node'): void
  routed(node: string, reason: string): void
  retried(node: string, reason: string): void
  reloadAvoided(model: string): void
  shardResent(node: string | null, reason: 'straggler' | 'hedge'): void
  loadStarted(node: string, model: string): void
  loadEnded(node: string, model: string, durationMs: number, error: string | null): void
  nodeUp(node: string): void
  nodeDown(node: string, reason: string): void
  probeFailed(node: string, reason: string): void
  probeLatency(node: string, ms: number): void
  breakerChanged(node: string, state: 'closed' | 'open' | 'half_open'): void
  wedgeFreed(node: string, model: string): void
  digestDrift(model: string, digests: ReadonlyMap<string, readonly string[]>): void
  /** A configuration was taken (`error` null), or refused. */
  configLoaded(error: string | null): void
  /** The log file was renamed: a new one is opened. */
  reopenLog(): void
  /** Writes what is queued. */
  flush(): Promise<void>
  flushSync(): void
}

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
}

/** The observer of the process. Throws only here: when the log file cannot be opened. */
export function createObserver(deps: ObserverDeps): Observer {
  const context = createContext(deps)
  return { ...requestEvents(context), ...dispatchEvents(context), ...nodeEvents(context), ...processEvents(context) }
}

interface Context {
  readonly deps: ObserverDeps
  readonly metrics: Metrics
  readonly logs: ReturnType<typeof createLogs>
  /** Calls whose rejection the relay layer has counted. */
  readonly counted: WeakSet<Call>
  modelLabel(model: string | null): string
  /** Makes an event function that cannot throw. */
  quiet<A extends readonly unknown[]>(action: (...event: A) => void): (...event: A) => void
}

function createContext(deps: ObserverDeps): Context {
  const { options, clock, terminal = false, sink } = deps
  const logs = createLogs({ options: options().log, clock, terminal, ...(sink === undefined ? {} : { sink }) })
  const processText = options().metrics.enabled && deps.processMetrics !== false ? startProcessMetrics() : null
  const metrics = new Metrics({ labelValuesMax: () => options().metrics.labelValuesMax, processText })
  metrics.families.buildInfo.child(deps.version, process.version).value = 1
  const dropped = metrics.families.logDropped.child()
  metrics.addSource(() => {
    dropped.value = logs.sink.dropped
  })
  return {
    deps,
    metrics,
    logs,
    counted: new WeakSet(),
    modelLabel: (model) => {
      if (model === null) return 'none'
      const known = deps.knownModel(model)
      return known === null ? 'other' : metrics.model.admit(known)
    },
    quiet:
      (action) =>
      (...event) => {
        try {
          action(...event)
        } catch {
          metrics.bugs.value += 1
        }
      },
  }
}

function requestEvents(context: Context) {
  const { deps, metrics, logs, counted, quiet, modelLabel } = context
  const log = (record: AccessRecord): void => {
    if (deps.options().log.access) logs.access.write(record)
  }
  return {
    requestStarted: () => {
      metrics.inFlight.value += 1
    },
    requestEnded: quiet((request: EndedRequest) => {
      metrics.inFlight.value -= 1
      if (request.attempts === 0) counted.add(request.call)
      const durationMs = deps.clock.nowMs() - request.call.receivedAtMs
      countRequest(metrics, modelLabel(request.model), request, durationMs)
      log(accessRecord(request, durationMs))
    }),
    requestRefused: quiet((facts: RouteFacts, error: CorralError, call: Call) => {
      if (counted.has(call)) return
      const outcome: Outcome = { kind: 'rejected', usage: null, frames: 0, bytes: 0, error }
      const request: EndedRequest = {
        facts,
        method: facts.methods[0] ?? '',
        model: null,
        call,
        status: error.status,
        stream: false,
        outcome,
        node: null,
        reason: null,
        attempts: 0,
        firstFrameAtMs: null,
      }
      const durationMs = deps.clock.nowMs() - call.receivedAtMs
      countRequest(metrics, 'none', request, durationMs)
      log(accessRecord(request, durationMs))
    }),
    bug: quiet((error: unknown, call: Call | null) => {
      metrics.bugs.value += 1
      const cause = error instanceof CorralError && error.cause !== undefined ? error.cause : error
      logs.logger.error({ err: cause, ...(call === null ? {} : { id: call.id }) }, 'unexpected error')
    }),
  }
}

function countRequest(metrics: Metrics, model: string, request: EndedRequest, durationMs: number): void {
  const { outcome, firstFrameAtMs, call } = request
  const cells = metrics.requestCells(request.facts.operation, model)
  const cell = cells.outcomes.get(outcomeLabel(outcome))
  if (cell !== undefined) cell.value += 1
  cells.duration.observe(durationMs / 1_000)
  if (firstFrameAtMs !== null) cells.firstToken.observe((firstFrameAtMs - call.receivedAtMs) / 1_000)
  const { usage } = outcome
  if (usage === null) return
  const { promptTokens, outputTokens, cachedPromptTokens } = usage
  if (promptTokens !== null) cells.inputTokens.observe(promptTokens)
  if (cachedPromptTokens !== null) cells.cachedTokens.value += cachedPromptTokens
  if (outputTokens === null) return
  cells.outputTokens.observe(outputTokens)
  if (firstFrameAtMs === null || outputTokens < 2) return
  const streamedMs = call.receivedAtMs + durationMs - firstFrameAtMs
  cells.perToken.observe(streamedMs / 1_000 / (outputTokens - 1))
}

function accessRecord(request: EndedRequest, durationMs: number): AccessRecord {
  const { call, outcome, firstFrameAtMs } = request
  return {
    id: call.id,
    traceId: call.trace?.traceId ?? null,
    method: request.method,
    route: request.facts.pattern,
    status: request.status,
    outcome: outcomeLabel(outcome),
    error: outcome.error?.code ?? null,
    node: request.node,
    reason: request.reason,
    attempts: request.attempts,
    model: request.model,
    stream: request.stream,
    ttftMs: firstFrameAtMs === null ? null : firstFrameAtMs - call.receivedAtMs,
    durationMs,
    bytes: outcome.bytes,
    inputTokens: outcome.usage?.promptTokens ?? null,
    outputTokens: outcome.usage?.outputTokens ?? null,
  }
}

function dispatchEvents({ deps, metrics, logs, quiet, modelLabel }: Context) {
  const { families } = metrics
  const pool = (name: string): string => (name === '*' ? '*' : metrics.pool.admit(name))
  return {
    attemptEnded: quiet((attempt: ObservedAttempt, result: { readonly outcome: Outcome['kind']; readonly ttftMs: number | null }) => {
      const { runner, waitedMs } = attempt.claim
      const node = metrics.node.admit(runner.node)
      const cells = metrics.nodeCells(node)
      cells.inFlight.value -= 1
      cells.duration.observe((deps.clock.nowMs() - attempt.startedAtMs) / 1_000)
      if (result.ttftMs !== null) cells.firstToken.observe(result.ttftMs / 1_000)
      families.nodeRequests.at(node, result.outcome).value += 1
      if (waitedMs === 0 && attempt.call.progress.attempts === 1) {
        metrics.overhead.observe((attempt.startedAtMs - attempt.call.receivedAtMs) / 1_000)
      }
      const { usage } = attempt
      if (usage === null) return
      const model = runner.bounded ? metrics.model.admit(runner.model) : 'other'
      if (usage.promptTokens !== null) families.inputTokens.at(model, node).value += usage.promptTokens
      if (usage.outputTokens !== null) families.outputTokens.at(model, node).value += usage.outputTokens
    }),
    queued: () => undefined,
    dequeued: quiet((name: string, _depth: number, waitedMs: number, priority: Priority) => {
      families.queueWait.at(pool(name), priority).observe(waitedMs / 1_000)
    }),
    rejected: quiet((name: string, reason: 'full' | 'deadline' | 'no_node') => {
      families.queueRejected.at(pool(name), reason).value += 1
    }),
    routed: quiet((node: string, reason: string) => {
      const label = metrics.node.admit(node)
      families.routing.at(label, reason).value += 1
      metrics.nodeCells(label).inFlight.value += 1
    }),
    retried: quiet((node: string, reason: string) => {
      families.retries.at(metrics.node.admit(node), reason).value += 1
      logs.logger.debug({ node, reason }, 'retrying on another node')
    }),
    reloadAvoided: quiet((model: string) => {
      families.reloadsAvoided.at(modelLabel(model)).value += 1
    }),
    shardResent: quiet((node: string | null, reason: 'straggler' | 'hedge') => {
      families.hedges.at(reason).value += 1
      logs.logger.debug({ node, reason }, 'embedding shard sent a second time')
    }),
  }
}

function nodeEvents({ metrics, logs, quiet, modelLabel }: Context) {
  const { families } = metrics
  const { logger } = logs
  const label = (node: string): string => metrics.node.admit(node)
  return {
    loadStarted: quiet((node: string, model: string) => {
      logger.info({ node, model }, 'loading model')
    }),
    loadEnded: quiet((node: string, model: string, durationMs: number, error: string | null) => {
      families.loads.at(label(node), error === null ? 'ok' : 'failed').value += 1
      families.loadSeconds.at(modelLabel(model)).observe(durationMs / 1_000)
      if (error === null) logger.info({ node, model, durationMs: Math.round(durationMs) }, 'model loaded')
      else logger.warn({ node, model, durationMs: Math.round(durationMs), error }, 'model load failed')
    }),
    nodeUp: quiet((node: string) => {
      families.nodeTransitions.at(label(node), 'up').value += 1
      logger.info({ node }, 'node is up')
    }),
    nodeDown: quiet((node: string, reason: string) => {
      families.nodeTransitions.at(label(node), 'down').value += 1
      logger.warn({ node, reason }, 'node is down')
    }),
    probeFailed: quiet((node: string, reason: string) => {
      families.probeFailures.at(label(node)).value += 1
      logger.debug({ node, reason }, 'probe failed')
    }),
    probeLatency: quiet((node: string, ms: number) => {
      families.probeSeconds.at(label(node)).value = ms / 1_000
    }),
    breakerChanged: quiet((node: string, state: 'closed' | 'open' | 'half_open') => {
      families.circuitTransitions.at(label(node), state).value += 1
      if (state === 'open') logger.warn({ node, state }, 'node ejected: too many of its answers failed')
      else logger.info({ node, state }, 'circuit breaker changed')
    }),
    wedgeFreed: quiet((node: string, model: string) => {
      families.wedges.at(label(node)).value += 1
      logger.warn({ node, model }, 'stuck runner freed')
    }),
    digestDrift: quiet((model: string, digests: ReadonlyMap<string, readonly string[]>) => {
      families.drift.at(modelLabel(model)).value = Math.max(0, digests.size - 1)
      if (digests.size > 1) logger.warn({ model, digests: Object.fromEntries(digests) }, 'nodes hold different builds of one model')
    }),
  }
}

function processEvents({ deps, metrics, logs, quiet }: Context) {
  const { logger, sink } = logs
  const { configOk, configAt } = metrics.families
  return {
    logger,
    metrics,
    configLoaded: quiet((error: string | null) => {
      configOk.child().value = error === null ? 1 : 0
      if (error === null) configAt.child().value = deps.clock.wallMs() / 1_000
      const { level } = deps.options().log
      if (logger.level !== level) logger.level = level
      if (error !== null) logger.error({ error }, 'configuration refused, the previous one stays in force')
    }),
    reopenLog: quiet(() => sink.reopen()),
    flush: () => sink.flush(),
    flushSync: quiet(() => sink.flushSync()),
  }
}

