/** From what arrived to an `InferenceRequest`, and the `Call` around it. */
import { zstdDecompressSync } from 'node:zlib'

import { CallSignal } from '../../base/abort.ts'
import { type Call, newProgress } from '../../core/call.ts'
import { type Envelope } from '../../core/envelope.ts'
import { CorralError } from '../../core/errors.ts'
import type { InferenceRequest } from '../../core/relay.ts'
import type { RouteFacts } from '../../core/route.ts'
import { emptyEnvelope, scanEnvelope } from '../../wire/envelope.ts'
import { findFormModel } from '../../wire/form-model.ts'
import { canonicalModelName } from '../../wire/model-name.ts'
import { withoutHeader } from '../../wire/request-headers.ts'
import type { HttpOptions } from '../options.ts'
import type { Exchange, InferenceDeps } from './exchange.ts'

/** Ollama's own limit for a decompressed body. */
const decompressedBytesMax = 20 * 1_048_576

/** The life of a request whose caller is known since now. */
export function startCall(deps: InferenceDeps, { headers, principal, arrivedAtMs }: Exchange): Call {
  const call: Call = {
    id: deps.newId(),
    receivedAtMs: arrivedAtMs,
    deadlineAtMs: arrivedAtMs + deps.deadlineMs(),
    priority: headers.priority === 'batch' ? 'batch' : 'interactive',
    tenant: principal.tenant,
    principal,
    signal: new CallSignal(),
    trace: deps.tracer.start(headers.traceparent ?? undefined, headers.tracestate ?? undefined),
    progress: newProgress(arrivedAtMs),
    explanation: null,
  }
  deps.phases.passed(call, 'auth')
  return call
}

/** The request with its body as `received`. Throws what the envelope scanner throws, or `invalid_request`. */
export function toRequest(
  { incoming, headers, facts, path, pathModel }: Exchange,
  received: Buffer,
  options: HttpOptions,
): InferenceRequest {
  const compressed = facts.acceptsZstd && headers.contentEncoding?.trim().toLowerCase() === 'zstd'
  const body = compressed ? decompress(received, options.bodyBytesMax) : received
  const envelope = openEnvelope(facts, body, options)
  const url = incoming.url ?? '/'
  const query = url.indexOf('?')
  const named = pathModel ?? envelope.model ?? formModel({ facts, headers, body, query: query < 0 ? '' : url.slice(query + 1) })
  return {
    route: facts,
    method: incoming.method ?? 'GET',
    target: query < 0 ? path : path + url.slice(query),
    headers: compressed ? withoutHeader(headers.forwarded, 'content-encoding') : headers.forwarded,
    body,
    envelope,
    model: named === null ? null : canonicalModelName(named),
    stream: facts.streams && (envelope.stream ?? facts.streamsByDefault),
  }
}

function openEnvelope(facts: RouteFacts, body: Buffer, { jsonDepthMax, jsonKeysMax }: HttpOptions): Envelope {
  if (body.length === 0 || facts.body === 'none' || facts.body === 'multipart') return emptyEnvelope
  return scanEnvelope(body, { depthMax: jsonDepthMax, keysMax: jsonKeysMax })
}

interface Form {
  readonly facts: RouteFacts
  readonly headers: Exchange['headers']
  readonly body: Buffer
  readonly query: string
}

/** The model that a form names. Throws `invalid_request` where the query names one beside it: a node would take that one. */
function formModel({ facts, headers: { contentType }, body, query }: Form): string | null {
  if (facts.body !== 'multipart' && facts.placement !== 'relay') return null
  const range = findFormModel(contentType, body)
  if (range === null) return null
  if (query !== '' && new URLSearchParams(query).has('model')) {
    throw new CorralError('invalid_request', 'the query names a model beside the form')
  }
  return body.toString('utf8', range.start, range.end)
}

/** Nodes get the plain JSON, so that the envelope's ranges hold for what is sent. */
function decompress(body: Buffer, bodyBytesMax: number): Buffer {
  const limit =
    bodyBytesMax < decompressedBytesMax ? `${bodyBytesMax} bytes (http.bodyBytesMax)` : `${decompressedBytesMax} bytes (Ollama's own limit)`
  try {
    return zstdDecompressSync(body, { maxOutputLength: Math.min(bodyBytesMax, decompressedBytesMax) })
  } catch (cause) {
    throw new CorralError('invalid_request', `the zstd request body cannot be decompressed, or is over ${limit}`, { cause })
  }
}
