/** Events of whole requests: counted and logged once each, at their true end. */
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { AccessRecord } from './access-log.ts'
import type { EventContext } from './event-context.ts'
import type { EndedExchange, EndedRequest, RefusedRequest, Told } from './events.ts'
import { outcomeLabel, statusOutcome } from './outcome.ts'

/** The functions that report requests. */
export function requestEvents(context: EventContext) {
  const { deps, metrics, logs, counted, quiet } = context
  const { onRequest = null } = deps
  const report = (request: EndedRequest): void => {
    const durationMs = deps.clock.nowMs() - request.call.receivedAtMs
    countRequest(context, request, durationMs)
    const { access, level } = deps.options().log
    if (access && level !== 'silent') logs.access.write(accessRecord(request, durationMs))
    if (onRequest !== null) onRequest(request)
  }
  return {
    requestStarted: () => {
      metrics.inFlight.value += 1
    },
    requestEnded: quiet((request: EndedRequest) => {
      metrics.inFlight.value -= 1
      if (request.attempts === 0) counted.add(request.call)
      report(request)
    }),
    requestRefused: quiet(({ facts, method }: RefusedRequest, error: CorralError, call: Call) => {
      if (counted.has(call)) return
      report({
        facts,
        method,
        model: null,
        call,
        status: error.status,
        stream: false,
        outcome: { kind: 'rejected', usage: null, frames: 0, bytes: 0, error },
        bytes: 0,
        node: null,
        reason: null,
        attempts: 0,
        firstFrameAtMs: null,
      })
    }),
    exchangeEnded: quiet((exchange: EndedExchange, told: Told) => {
      const { access, level } = deps.options().log
      if (access && level !== 'silent') logs.access.write(exchangeRecord(exchange, { told, endMs: deps.clock.nowMs() }))
    }),
    bug: quiet((error: unknown, told: Told | null) => {
      metrics.bugs.value += 1
      const cause = error instanceof CorralError && error.cause !== undefined ? error.cause : error
      logs.logger.error({ err: cause, ...(told === null ? {} : named(told)) }, 'unexpected error')
    }),
  }
}

function named({ id, trace }: Told): object {
  return { id, ...(trace === null ? {} : { trace: trace.traceId }) }
}

function countRequest({ metrics, modelLabel, observeLatency }: EventContext, request: EndedRequest, durationMs: number): void {
  const { outcome, firstFrameAtMs, call } = request
  const cells = metrics.requestCells(request.facts.operation, modelLabel(request.model))
  const cell = cells.outcomes.get(outcomeLabel(outcome))
  if (cell !== undefined) cell.value += 1
  observeLatency(cells.duration, durationMs, call.trace)
  if (firstFrameAtMs !== null) observeLatency(cells.firstToken, firstFrameAtMs - call.receivedAtMs, call.trace)
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

/** Longest model name in a log line; names are the client's, and may be of any length. */
const modelLengthMax = 256

function cutModel(model: string | null): string | null {
  return model === null || model.length <= modelLengthMax ? model : model.slice(0, modelLengthMax)
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
    model: cutModel(request.model),
    stream: request.stream,
    ttftMs: firstFrameAtMs === null ? null : firstFrameAtMs - call.receivedAtMs,
    durationMs,
    bytes: request.bytes,
    inputTokens: outcome.usage?.promptTokens ?? null,
    outputTokens: outcome.usage?.outputTokens ?? null,
  }
}

/** No node, model or token belongs to an exchange that Corral answers by itself. */
function exchangeRecord(exchange: EndedExchange, { told, endMs }: { readonly told: Told; readonly endMs: number }): AccessRecord {
  const { method, pattern, status, arrivedAtMs, error } = exchange
  return {
    id: told.id,
    traceId: told.trace?.traceId ?? null,
    method,
    route: pattern,
    status: status ?? 0,
    outcome: statusOutcome(status),
    error,
    node: null,
    reason: null,
    attempts: 0,
    model: null,
    stream: false,
    ttftMs: null,
    durationMs: endMs - arrivedAtMs,
    bytes: null,
    inputTokens: null,
    outputTokens: null,
  }
}
