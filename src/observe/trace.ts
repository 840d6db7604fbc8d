/**
 * W3C trace context: the trace id of the client is kept, our own span id becomes the parent of what the node does, and
 * `tracestate` passes untouched. Without a collector Corral joins traces and starts none: a trace that began here would be
 * seen by nobody, and the request id does its work in the logs. With one every call has a trace, and every try on a node a
 * span id of its own. A malformed `traceparent` counts as absent.
 */
import type { IdSource } from '../base/ids.ts'
import type { TraceContext } from '../core/call.ts'
import type { Sampler } from './sampler.ts'

export interface Tracer {
  /** The context of a new call, from the client's headers. Null when it has no trace, or tracing is off. Never throws. */
  start(traceparent: string | undefined, tracestate: string | undefined): TraceContext | null
  /** The context of a call that Corral makes for the one of `parent`; `parent` itself where no span will be made of it. */
  child(parent: TraceContext | null): TraceContext | null
  /** Adds to a flat list the headers that hand the trace on to a node. The id of the span that the try is to have; null: none. */
  addHeaders(headers: string[], trace: TraceContext | null): string | null
}

export interface TracerDeps {
  readonly ids: IdSource
  readonly enabled: () => boolean
  /** Null: nothing is exported. */
  readonly sampler: Sampler | null
}

/** Version, trace id, parent id, flags; a later version may append fields. */
const traceparentPattern = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const tracestateLengthMax = 512
/** Printable ASCII, as a header value. */
const tracestatePattern = /^[\x20-\x7e\t]*$/

export function createTracer({ ids, enabled, sampler }: TracerDeps): Tracer {
  const begin = (sample: Sampler): TraceContext => {
    const traceId = ids.traceId()
    return { traceId, spanId: ids.spanId(), parentId: null, inner: false, sampled: sample(traceId, null), state: null }
  }
  return {
    start(traceparent, tracestate) {
      if (traceparent === undefined && sampler === null) return null
      if (!enabled()) return null
      const parent = traceparent === undefined ? null : parseTraceparent(traceparent)
      if (parent === null) return sampler === null ? null : begin(sampler)
      const { traceId, parentId } = parent
      const sampled = sampler === null ? parent.sampled : sampler(traceId, parent.sampled)
      return { traceId, spanId: ids.spanId(), parentId, inner: false, sampled, state: readTracestate(tracestate) }
    },
    child(parent) {
      if (parent === null || sampler === null || !parent.sampled) return parent
      return { ...parent, spanId: ids.spanId(), parentId: parent.spanId, inner: true }
    },
    addHeaders(headers, trace) {
      if (trace === null) return null
      const spanId = sampler !== null && trace.sampled ? ids.spanId() : null
      headers.push('traceparent', `00-${trace.traceId}-${spanId ?? trace.spanId}-${trace.sampled ? '01' : '00'}`)
      if (trace.state !== null) headers.push('tracestate', trace.state)
      return spanId
    },
  }
}

/** Trace, parent span and sampling decision of a `traceparent` header; null when it is malformed. */
export function parseTraceparent(
  header: string,
): { readonly traceId: string; readonly parentId: string; readonly sampled: boolean } | null {
  const match = traceparentPattern.exec(header)
  const [, version = '', traceId = '', parentId = '', flags = '', rest] = match ?? []
  if (match === null || (version === '00' && rest !== undefined)) return null
  return { traceId, parentId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

function readTracestate(header: string | undefined): string | null {
  if (header === undefined || header.length === 0 || header.length > tracestateLengthMax) return null
  return tracestatePattern.test(header) ? header : null
}
