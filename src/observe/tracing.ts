/**
 * Tracing put together: the trace context of calls, and, where a collector is named, the spans and their delivery. Where none
 * is named there is neither a queue nor a timer, and a call without a trace costs one look at a constant.
 */
import { hostname } from 'node:os'

import type { Clock } from '../base/clock.ts'
import type { IdSource } from '../base/ids.ts'
import type { Call, TraceContext } from '../core/call.ts'
import type { EndedExchange, EndedRequest } from './events.ts'
import type { Metrics } from './metrics.ts'
import type { ObserveOptions } from './options.ts'
import { createSampler } from './sampler.ts'
import { type Delivery, SpanExport } from './span-export.ts'
import { type AttemptResult, attemptSpan, type EndedSearch, exchangeSpan, requestSpan, searchSpan, type TracedAttempt } from './spans.ts'
import { createTracer, type Tracer } from './trace.ts'

/** Tells the span of a try how it ended. */
export type EndAttempt = (attempt: TracedAttempt, result: AttemptResult) => void

export interface Tracing {
  readonly tracer: Tracer
  /** Null: no spans are made. */
  readonly onRequest: ((request: EndedRequest) => void) | null
  /** Hears of exchanges on Corral's own routes; null: no spans are made. */
  readonly onExchange: ((exchange: EndedExchange, trace: TraceContext) => void) | null
  /** Adds the headers that hand a call's trace on to a node; null: nobody is to hear how the try ended. */
  startAttempt(headers: string[], call: Call): EndAttempt | null
  /** `call` for what is done within a search, and who is to hear how that ended. */
  startSearch(call: Call): { readonly call: Call; readonly end: ((search: EndedSearch) => void) | null }
  addMetrics(metrics: Metrics): void
  /** Delivers what waits, once. Never rejects. */
  close(): Promise<void>
}

/** A pool of connections to a collector. */
interface Connection {
  request(
    request: { readonly method: string; readonly path: string; readonly headers: string[]; readonly body: string },
    options: { readonly timeoutMs: number; readonly bytesMax: number },
  ): Promise<Delivery>
  close(): Promise<void>
}

export interface TracingDeps {
  readonly options: () => ObserveOptions
  readonly clock: Clock
  readonly random: () => number
  readonly ids: IdSource
  readonly version: string
  /** Tells this process from its like. */
  readonly instance: string
  readonly connect: (options: {
    readonly url: string
    readonly headers: Readonly<Record<string, string>>
    readonly connectTimeoutMs: number
    readonly clock: Clock
  }) => Connection
  readonly onTrouble: (reason: string | null) => void
}

const connectTimeoutMs = 3_000
/** What a collector has to say is short. */
const answerBytesMax = 65_536
const tracesPath = '/v1/traces'

/** The endpoint and sampler of the first configuration hold; `enabled` is looked at for each call. */
export function createTracing(deps: TracingDeps): Tracing {
  const { ids } = deps
  const { endpoint, sampler, ratio } = deps.options().trace
  const enabled = (): boolean => deps.options().trace.enabled
  if (endpoint !== undefined) return exporting(deps, createTracer({ ids, enabled, sampler: createSampler(sampler, ratio) }), endpoint)
  const tracer = createTracer({ ids, enabled, sampler: null })
  return {
    tracer,
    onRequest: null,
    onExchange: null,
    startAttempt(headers, call) {
      tracer.addHeaders(headers, call.trace)
      return null
    },
    startSearch: (call) => ({ call, end: null }),
    addMetrics: () => undefined,
    close: () => Promise.resolve(),
  }
}

function exporting(deps: TracingDeps, tracer: Tracer, endpoint: string): Tracing {
  const { clock } = deps
  const { genAi } = deps.options().trace
  const { spans, connection } = createExport(deps, endpoint)
  const ending = (): { endMs: number; genAi: typeof genAi } => ({ endMs: clock.nowMs(), genAi })
  return {
    tracer,
    onRequest(request) {
      const { trace } = request.call
      if (trace?.sampled === true) spans.push(requestSpan(request, trace, ending()))
    },
    onExchange: (exchange, trace) => spans.push(exchangeSpan(exchange, trace, clock.nowMs())),
    startAttempt(headers, { trace }) {
      const spanId = tracer.addHeaders(headers, trace)
      if (spanId === null || trace === null) return null
      return (attempt, result) => spans.push(attemptSpan(attempt, result, { ...ending(), trace, spanId }))
    },
    startSearch(call) {
      const trace = tracer.child(call.trace)
      if (trace?.sampled !== true) return { call, end: null }
      return { call: { ...call, trace }, end: (search) => spans.push(searchSpan(search, trace, ending())) }
    },
    addMetrics(metrics) {
      const { traceSpans, exportFailures } = metrics.families
      metrics.addSource(() => {
        exportFailures.child().value = spans.failures
        for (const [result, count] of Object.entries(spans.counts)) traceSpans.at(result).value = count
      })
    },
    async close() {
      await spans.close()
      await connection.close()
    },
  }
}

function createExport(deps: TracingDeps, endpoint: string): { spans: SpanExport; connection: Connection } {
  const { clock, random, version, instance, onTrouble } = deps
  const { headers, service, queueSpansMax, everyMs, timeoutMs } = deps.options().trace
  const url = endpoint.replace(/\/+$/, '').replace(/\/v1\/traces$/, '')
  const connection = deps.connect({ url, headers, connectTimeoutMs, clock })
  const resource = {
    'service.name': service,
    'service.version': version,
    'service.instance.id': instance,
    'host.name': hostname(),
    'process.pid': process.pid,
  }
  const spans = new SpanExport({
    clock,
    random,
    resource,
    version,
    queueSpansMax,
    everyMs,
    onTrouble,
    post: (body) =>
      connection.request(
        { method: 'POST', path: tracesPath, headers: ['content-type', 'application/json'], body },
        { timeoutMs, bytesMax: answerBytesMax },
      ),
  })
  return { spans, connection }
}
