/**
 * The handler of every route that a node answers: read the body, find the envelope, hand it to the relay, write the answer.
 * It works on the raw Node request and response; Hono has only matched the route (ARCHITECTURE §3).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { zstdDecompressSync } from 'node:zlib'

import { CallSignal } from '../../base/abort.ts'
import type { Clock } from '../../base/clock.ts'
import { type Call, newProgress, type Priority } from '../../core/call.ts'
import type { Envelope } from '../../core/envelope.ts'
import { CorralError, toCorralError } from '../../core/errors.ts'
import type { Answer, InferenceRequest, Relay } from '../../core/relay.ts'
import type { RouteFacts } from '../../core/route.ts'
import type { Tracer } from '../../observe/trace.ts'
import { emptyEnvelope, scanEnvelope } from '../../wire/envelope.ts'
import { canonicalModelName } from '../../wire/model-name.ts'
import { renderStreamError } from '../../wire/render-error.ts'
import { forwardHeaders } from '../../wire/request-headers.ts'
import { readBody } from '../body.ts'
import type { CallRegistry } from '../call-registry.ts'
import { condemn } from '../connection.ts'
import { pastHops, pastHopsHeader } from '../front.ts'
import type { HttpOptions } from '../options.ts'
import { sendError } from '../send-error.ts'
import { EarlyHead } from './early-head.ts'
import { flushed } from './flush.ts'
import { isTold, writeStream, writeWhole } from './write-answer.ts'

export interface InferenceDeps {
  readonly relay: Relay
  readonly calls: CallRegistry
  readonly clock: Clock
  readonly options: () => HttpOptions
  /** Milliseconds a request may wait for its first frame. */
  readonly deadlineMs: () => number
  readonly newId: () => string
  readonly tracer: Tracer
  /** Reports a request that ended before the relay saw it. */
  readonly onRefused: (facts: RouteFacts, error: CorralError, call: Call) => void
  readonly onBug: (error: unknown, call: Call) => void
}

/** One exchange with a client. */
export interface Exchange {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly facts: RouteFacts
  /** Canonical path of the matched route with its parameters, without query. */
  readonly path: string
  /** Model named in the path, if the route has one there. */
  readonly pathModel: string | null
}

/** Answers one request by the relay; never rejects. */
export function handleInference(deps: InferenceDeps, exchange: Exchange): Promise<void> {
  return runExchange(deps, exchange, { readsBody: true, relay: deps.relay })
}

/** Answers one request by `relay`; never rejects. `readsBody`: the body is read into memory first. */
export async function runExchange(
  deps: InferenceDeps,
  exchange: Exchange,
  { readsBody, relay }: { readsBody: boolean; relay: Relay },
): Promise<void> {
  const { incoming, outgoing, facts } = exchange
  const call = startCall(deps, incoming)
  const reply: Reply = { deps, exchange, call, phase: 'open', early: null }
  outgoing.on('close', () => {
    if (!outgoing.writableFinished) call.signal.abort('client gone')
  })
  call.signal.on((reason) => cutShort(reply, reason))
  deps.calls.add(call, facts)
  try {
    const request = await readRequest(deps, exchange, readsBody)
    reply.early = startEarlyHead(reply, request)
    const answer = await relay(request, call)
    reply.early?.stop()
    const written = writeAnswer(reply, request, answer)
    if (written !== null) await written
    const left = flushed(outgoing, { clock: deps.clock, stallMs: deps.options().stallMs, call })
    if (left !== null) await left
  } catch (thrown) {
    reply.early?.stop()
    if (reply.phase !== 'cut') refuse(reply, thrown)
  } finally {
    call.progress.phase = 'done'
    deps.calls.remove(call)
  }
}

interface Reply {
  readonly deps: InferenceDeps
  readonly exchange: Exchange
  readonly call: Call
  /** Nothing but an early head was written · a stream or a whole answer is being written · it was ended from this side. */
  phase: 'open' | 'streaming' | 'whole' | 'cut'
  early: EarlyHead | null
}

/** The call was aborted: a client that is still there is told why, unless half of a whole answer went out. */
function cutShort(reply: Reply, reason: unknown): void {
  if (!isTold(reason) || reply.phase === 'whole') {
    reply.exchange.outgoing.destroy()
    return
  }
  // A stream's writer puts the error behind its last frame.
  if (reply.phase !== 'open') return
  reply.phase = 'cut'
  reply.early?.stop()
  refuse(reply, reason)
}

/** Resolves when all is written; null when that is so already. */
function writeAnswer(reply: Reply, request: InferenceRequest, answer: Answer): Promise<void> | null {
  const { deps, call, early } = reply
  const { outgoing } = reply.exchange
  if (reply.phase === 'cut') {
    if (answer.kind === 'stream') answer.frames.cancel('the call was ended')
    return null
  }
  const { stallMs, routeHeaders } = deps.options()
  const writing = { request, call, options: { clock: deps.clock, stallMs, routeHeaders }, headSent: early?.sent ?? false }
  reply.phase = answer.kind === 'stream' ? 'streaming' : 'whole'
  return answer.kind === 'stream' ? writeStream(outgoing, answer, writing) : writeWhole(outgoing, answer, writing)
}

function startCall(deps: InferenceDeps, incoming: IncomingMessage): Call {
  const nowMs = deps.clock.nowMs()
  const { traceparent, tracestate } = incoming.headers
  return {
    id: deps.newId(),
    receivedAtMs: nowMs,
    deadlineAtMs: nowMs + deps.deadlineMs(),
    priority: priorityOf(incoming),
    tenant: 'local',
    signal: new CallSignal(),
    trace: deps.tracer.start(headerText(traceparent), headerText(tracestate)),
    progress: newProgress(),
  }
}

function headerText(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function priorityOf(incoming: IncomingMessage): Priority {
  return incoming.headers['x-corral-priority'] === 'batch' ? 'batch' : 'interactive'
}

const noBody = Buffer.alloc(0)

async function readRequest(deps: InferenceDeps, exchange: Exchange, readsBody: boolean): Promise<InferenceRequest> {
  const { incoming, facts, path, pathModel } = exchange
  const { bodyBytesMax, bodyPauseMsMax } = deps.options()
  const limits = { bytesMax: bodyBytesMax, pauseMsMax: bodyPauseMsMax }
  const received = readsBody ? await readBody(incoming, limits, deps.clock) : noBody
  const headers = forwardHeaders(incoming.headers)
  const compressed = facts.acceptsZstd && headers['content-encoding']?.trim().toLowerCase() === 'zstd'
  if (compressed) delete headers['content-encoding']
  const past = pastHops(incoming)
  if (past !== null) headers[pastHopsHeader] = past
  const body = compressed ? decompress(received, bodyBytesMax) : received
  const envelope = openEnvelope(deps, facts, body)
  const named = pathModel ?? envelope.model
  const url = incoming.url ?? '/'
  const query = url.indexOf('?')
  return {
    route: facts,
    method: incoming.method ?? 'GET',
    target: query < 0 ? path : path + url.slice(query),
    headers,
    body,
    envelope,
    model: named === null ? null : canonicalModelName(named),
    stream: facts.streams && (envelope.stream ?? facts.streamsByDefault),
  }
}

function openEnvelope(deps: InferenceDeps, facts: RouteFacts, body: Buffer): Envelope {
  if (body.length === 0 || facts.body === 'none' || facts.body === 'multipart') return emptyEnvelope
  const { jsonDepthMax, jsonKeysMax } = deps.options()
  return scanEnvelope(body, { depthMax: jsonDepthMax, keysMax: jsonKeysMax })
}

/** Nodes get the plain JSON, so that the envelope's ranges hold for what is sent. Ollama's own limit is 20 MiB. */
function decompress(body: Buffer, bytesMax: number): Buffer {
  try {
    return zstdDecompressSync(body, { maxOutputLength: Math.min(bytesMax, 20 * 1_048_576) })
  } catch (cause) {
    throw new CorralError('invalid_request', 'the zstd request body cannot be decompressed, or is over 20 MiB', { cause })
  }
}

function startEarlyHead({ deps, exchange, call }: Reply, request: InferenceRequest): EarlyHead | null {
  const { framing } = request.route
  if (!request.stream || framing === 'none') return null
  const { keepAliveBytesAfterMs: afterMs, keepAliveBytesEveryMs: everyMs } = deps.options()
  return new EarlyHead(exchange.outgoing, framing, { afterMs, everyMs, headers: () => progressHeaders(call) }, deps.clock)
}

function progressHeaders(call: Call): Record<string, string> {
  const headers: Record<string, string> = { 'x-request-id': call.id }
  const { queuePosition, etaMs } = call.progress
  if (queuePosition > 0) headers['x-corral-queue-position'] = String(queuePosition)
  if (etaMs !== null) headers['x-corral-queue-eta-ms'] = String(etaMs)
  return headers
}

function refuse({ deps, exchange, call }: Reply, thrown: unknown): void {
  const { incoming, outgoing, facts } = exchange
  const error = toCorralError(thrown)
  if (error.code === 'internal') deps.onBug(thrown, call)
  if (call.progress.attempts === 0) deps.onRefused(facts, error, call)
  if (error.code === 'body_too_large' || error.code === 'body_timeout') condemn(incoming, outgoing)
  if (outgoing.headersSent && !outgoing.writableEnded) outgoing.end(renderStreamError(facts, error, call.id))
  else sendError({ incoming, outgoing, clock: deps.clock }, facts.dialect, error, call.id)
}
