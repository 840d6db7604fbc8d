/**
 * What the gateway's spans say: one for a request, one for each try on a node, one for a search. Names follow OpenTelemetry's
 * stable conventions for HTTP; those for generative AI still change, so which version is used is a switch. Prompts, answers and
 * queries never get in.
 */
import type { Call, TraceContext } from '../core/call.ts'
import type { CorralError } from '../core/errors.ts'
import type { Outcome, Usage } from '../core/relay.ts'
import type { Operation, RouteFacts } from '../core/route.ts'
import type { EndedExchange, EndedRequest } from './events.ts'
import type { ObserveOptions } from './options.ts'
import { outcomeLabel, type OutcomeLabel } from './outcome.ts'
import type { Attributes, Span } from './span.ts'

type GenAi = ObserveOptions['trace']['genAi']

/** A try on a node, as far as its span tells of it. Monotonic milliseconds. */
export interface TracedAttempt {
  readonly claim: {
    readonly runner: { readonly node: string; readonly bounded: boolean; readonly fleetNode: NodeAddress }
    readonly model: string
    readonly waitedMs: number
    readonly reason: string
  }
  readonly request: { readonly route: RouteFacts; readonly method: string; readonly stream: boolean }
  readonly call: Call
  readonly startedAtMs: number
  /** 0: there was none. */
  readonly firstFrameAtMs: number
  /** 0: there was no head. */
  readonly status: number
  readonly usage: Usage | null
}

interface NodeAddress {
  readonly transport: { readonly url: string }
}

export interface AttemptResult {
  readonly outcome: Outcome['kind']
  /** Null: none, or nobody's. */
  readonly error: CorralError | null
}

/** A search that ended. */
export interface EndedSearch {
  readonly collections: readonly string[]
  readonly limit: number
  readonly startedAtMs: number
  /** Null: it failed. */
  readonly found: { readonly results: number; readonly cached: boolean; readonly degraded: boolean } | null
  readonly error: CorralError | null
}

/** Longest text of an attribute that a client chose. */
const textLengthMax = 256
const serverErrorFrom = 500
/** Ends that are nobody's failure, or the client's: the convention leaves the status of a server's span open for those. */
const unfailed: ReadonlySet<OutcomeLabel> = new Set(['ok', 'client_error', 'client_gone'])

function frame(trace: TraceContext): Pick<Span, 'traceId' | 'spanId' | 'parentId' | 'state'> {
  const { traceId, spanId, parentId, state } = trace
  return { traceId, spanId, parentId, state }
}

function cut(text: string | null): string | null {
  return text === null ? null : text.slice(0, textLengthMax)
}

/** Of a request that a client sent, or (`trace.inner`) one of Corral's own for it. */
export function requestSpan(request: EndedRequest, trace: TraceContext, { endMs, genAi }: { endMs: number; genAi: GenAi }): Span {
  const { facts, method, call, outcome, status, firstFrameAtMs } = request
  const label = outcomeLabel(outcome)
  const failed = !unfailed.has(label)
  const attributes: Attributes = {
    'http.request.method': method,
    'http.route': facts.pattern,
    'http.response.status_code': status,
    'error.type': failed ? (outcome.error?.code ?? label) : null,
    'corral.request.id': call.id,
    'corral.tenant': call.tenant,
    'corral.outcome': label,
    'corral.node': request.node,
    'corral.reason': request.reason,
    'corral.attempts': request.attempts,
    'corral.cached': outcome.cached ?? null,
    ...genAiOfCall(genAi, { operation: facts.operation, model: request.model, stream: request.stream }),
  }
  return {
    ...frame(trace),
    name: `${method} ${facts.pattern}`,
    kind: trace.inner ? 'internal' : 'server',
    startMs: call.receivedAtMs,
    endMs,
    attributes,
    events: firstFrameAtMs === null ? [] : [{ name: 'corral.first_frame', atMs: firstFrameAtMs }],
    failure: failed ? (outcome.error?.message ?? label) : null,
  }
}

/** Of an exchange on one of Corral's own routes. */
export function exchangeSpan({ method, pattern, status, arrivedAtMs }: EndedExchange, trace: TraceContext, endMs: number): Span {
  const failed = status !== null && status >= serverErrorFrom
  const attributes: Attributes = {
    'http.request.method': method,
    'http.route': pattern,
    'http.response.status_code': status,
    'error.type': failed ? String(status) : null,
  }
  const failure = failed ? `HTTP ${status}` : null
  return { ...frame(trace), name: `${method} ${pattern}`, kind: 'server', startMs: arrivedAtMs, endMs, attributes, events: [], failure }
}

/** Of one try on a node. */
export function attemptSpan(
  attempt: TracedAttempt,
  { outcome, error }: AttemptResult,
  own: { readonly trace: TraceContext; readonly spanId: string; readonly endMs: number; readonly genAi: GenAi },
): Span {
  const { claim, request, status, startedAtMs, firstFrameAtMs, usage } = attempt
  const { runner } = claim
  const { method, route, stream } = request
  const { hostname, port, protocol } = new URL(runner.fleetNode.transport.url)
  const failed = outcome !== 'ok' && outcome !== 'client_gone'
  const model = runner.bounded ? claim.model : null
  const ai = genAiOfCall(own.genAi, { operation: route.operation, model, stream })
  const attributes: Attributes = {
    'http.request.method': method,
    'http.response.status_code': status === 0 ? null : status,
    'server.address': hostname,
    'server.port': Number(port === '' ? (protocol === 'https:' ? 443 : 80) : port),
    'error.type': failed ? (error?.code ?? outcome) : null,
    'corral.node': runner.node,
    'corral.model': model,
    'corral.reason': claim.reason,
    'corral.outcome': outcome,
    'corral.queue.ms': claim.waitedMs,
    'corral.ttft.ms': firstFrameAtMs === 0 ? null : firstFrameAtMs - startedAtMs,
    ...ai,
    ...genAiOfAnswer(own.genAi, { model, usage, ttftMs: firstFrameAtMs === 0 || !stream ? null : firstFrameAtMs - startedAtMs }),
  }
  const operation = ai['gen_ai.operation.name']
  return {
    ...frame(own.trace),
    spanId: own.spanId,
    parentId: own.trace.spanId,
    name: typeof operation === 'string' ? `${operation} ${model ?? ''}`.trimEnd() : `${method} ${route.pattern}`,
    kind: 'client',
    startMs: startedAtMs,
    endMs: own.endMs,
    attributes,
    events: firstFrameAtMs === 0 ? [] : [{ name: 'corral.first_frame', atMs: firstFrameAtMs }],
    failure: failed ? (error?.message ?? outcome) : null,
  }
}

/** Of a search over collections. */
export function searchSpan(ended: EndedSearch, trace: TraceContext, { endMs, genAi }: { endMs: number; genAi: GenAi }): Span {
  const { collections, limit, startedAtMs, found, error } = ended
  const source = cut(collections.join(','))
  const attributes: Attributes = {
    'error.type': error?.code ?? null,
    'corral.collections': collections.slice(0, 16).map((name) => name.slice(0, textLengthMax)),
    'corral.found': found?.results ?? null,
    'corral.cached': found?.cached ?? null,
    'corral.degraded': found?.degraded ?? null,
    ...(genAi === 'off'
      ? {}
      : {
          'gen_ai.operation.name': 'retrieval',
          'gen_ai.data_source.id': source,
          [genAi === '1.41' ? 'gen_ai.request.top_k' : 'gen_ai.retrieval.top_k']: limit,
        }),
  }
  const name = genAi === 'off' ? 'retrieval' : `retrieval ${source}`
  return { ...frame(trace), name, kind: 'internal', startMs: startedAtMs, endMs, attributes, events: [], failure: error?.message ?? null }
}

/** The conventions' names of what is asked of a model; routes of other kinds have none. */
const operationNames: Readonly<Partial<Record<Operation, string>>> = { chat: 'chat', generate: 'text_completion', embed: 'embeddings' }

function genAiOfCall(
  genAi: GenAi,
  { operation, model, stream }: { operation: Operation; model: string | null; stream: boolean },
): Attributes {
  const name = operationNames[operation]
  if (genAi === 'off' || name === undefined) return {}
  return {
    'gen_ai.operation.name': name,
    'gen_ai.provider.name': 'ollama',
    'gen_ai.request.model': cut(model),
    ...(genAi === 'latest' ? { 'gen_ai.request.stream': stream } : {}),
  }
}

function genAiOfAnswer(
  genAi: GenAi,
  { model, usage, ttftMs }: { readonly model: string | null; readonly usage: Usage | null; readonly ttftMs: number | null },
): Attributes {
  if (genAi === 'off') return {}
  return {
    'gen_ai.response.model': usage === null ? null : cut(model),
    'gen_ai.usage.input_tokens': usage?.promptTokens ?? null,
    'gen_ai.usage.output_tokens': usage?.outputTokens ?? null,
    'gen_ai.usage.cache_read.input_tokens': usage?.cachedPromptTokens ?? null,
    ...(genAi === 'latest' ? { 'gen_ai.response.time_to_first_chunk': ttftMs === null ? null : ttftMs / 1_000 } : {}),
  }
}
