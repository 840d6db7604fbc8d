/**
 * Spans in the JSON encoding of OTLP (opentelemetry-proto 1.x, `ExportTraceServiceRequest`): ids as hex, 64-bit numbers as
 * decimal text, enumerations as numbers. The official exporter and its SDK would bring a dozen packages for what is two
 * functions here: everything that makes them large (samplers, context, processors, metrics) the gateway has or does not need.
 */
import { z } from 'zod'

import type { Attributes, AttributeValue, Span } from './span.ts'

const kinds = { internal: 1, server: 2, client: 3 } as const
const statusError = 2
/** Flags of a span: sampled, and whether its parent is in another process is known and so. */
const sampledFlag = 0x01
const remoteKnownFlag = 0x100
const remoteFlag = 0x200

export interface OtlpSource {
  /** Of all spans: who sends them. */
  readonly resource: Attributes
  readonly version: string
  /** Unix time minus monotonic time, in milliseconds. */
  readonly offsetMs: number
}

/** The body of one delivery. */
export function encodeSpans(spans: readonly Span[], { resource, version, offsetMs }: OtlpSource): string {
  const scopeSpans = [{ scope: { name: 'corral', version }, spans: spans.map((span) => encodeSpan(span, offsetMs)) }]
  return JSON.stringify({ resourceSpans: [{ resource: { attributes: encodeAttributes(resource) }, scopeSpans }] })
}

function encodeSpan(span: Span, offsetMs: number): object {
  const { traceId, spanId, parentId, state, name, kind, startMs, endMs, attributes, events, failure } = span
  const parentFlags = parentId === null ? 0 : remoteKnownFlag | (kind === 'server' ? remoteFlag : 0)
  return {
    traceId,
    spanId,
    ...(parentId === null ? {} : { parentSpanId: parentId }),
    ...(state === null ? {} : { traceState: state }),
    flags: sampledFlag | parentFlags,
    name,
    kind: kinds[kind],
    startTimeUnixNano: unixNano(startMs + offsetMs),
    endTimeUnixNano: unixNano(Math.max(startMs, endMs) + offsetMs),
    attributes: encodeAttributes(attributes),
    events: events.map((event) => ({ name: event.name, timeUnixNano: unixNano(event.atMs + offsetMs) })),
    status: failure === null ? {} : { code: statusError, message: failure },
  }
}

/** Put together as text, because nanoseconds since 1970 are more than a number holds. */
function unixNano(unixMs: number): string {
  const ms = Math.floor(unixMs)
  return `${ms}${String(Math.floor((unixMs - ms) * 1e6)).padStart(6, '0')}`
}

function encodeAttributes(attributes: Attributes): object[] {
  const encoded: object[] = []
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null) encoded.push({ key, value: encodeValue(value) })
  }
  return encoded
}

function encodeValue(value: AttributeValue): object {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'number') return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value }
  return { arrayValue: { values: value.map(encodeValue) } }
}

const answerShape = z.object({
  partialSuccess: z.object({ rejectedSpans: z.coerce.number().int().min(0).default(0), errorMessage: z.string().default('') }).optional(),
})

/** How many spans of a delivery the collector says it refused, and why. An answer that says nothing readable refuses none. */
export function readRejected(body: Buffer): { readonly spans: number; readonly reason: string } {
  try {
    const { partialSuccess } = answerShape.parse(JSON.parse(body.toString()))
    return { spans: partialSuccess?.rejectedSpans ?? 0, reason: partialSuccess?.errorMessage ?? '' }
  } catch {
    return { spans: 0, reason: '' }
  }
}
