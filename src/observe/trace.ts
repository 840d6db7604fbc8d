/**
 * W3C trace context: the trace id of the client is kept, our own span id becomes the parent of what the node does, and
 * `tracestate` passes untouched. Corral exports no spans, so it joins traces and starts none: a trace that began here would
 * be seen by nobody, and the request id does its work in the logs. A malformed `traceparent` counts as absent.
 */
import type { IdSource } from '../base/ids.ts'
import type { TraceContext } from '../core/call.ts'

export interface Tracer {
  /** The context of a new call, from the client's headers. Null when it sends none, or tracing is off. Never throws. */
  start(traceparent: string | undefined, tracestate: string | undefined): TraceContext | null
}

export interface TracerDeps {
  readonly ids: IdSource
  readonly enabled: () => boolean
}

/** Version, trace id, parent id, flags; a later version may append fields. */
const traceparentPattern = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?$/
const tracestateLengthMax = 512
/** Printable ASCII, as a header value. */
const tracestatePattern = /^[\x20-\x7e\t]*$/

export function createTracer({ ids, enabled }: TracerDeps): Tracer {
  return {
    start(traceparent, tracestate) {
      if (traceparent === undefined || !enabled()) return null
      const parent = parseTraceparent(traceparent)
      return parent === null ? null : { ...parent, spanId: ids.spanId(), state: readTracestate(tracestate) }
    },
  }
}

/** Trace id and sampling decision of a `traceparent` header; null when it is malformed. */
export function parseTraceparent(header: string): { readonly traceId: string; readonly sampled: boolean } | null {
  const match = traceparentPattern.exec(header)
  const [, version = '', traceId = '', flags = '', rest] = match ?? []
  if (match === null || (version === '00' && rest !== undefined)) return null
  return { traceId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

function readTracestate(header: string | undefined): string | null {
  if (header === undefined || header.length === 0 || header.length > tracestateLengthMax) return null
  return tracestatePattern.test(header) ? header : null
}

/** Adds to a flat list the headers that hand a call's trace on to a node. */
export function addTraceHeaders(headers: string[], trace: TraceContext | null): void {
  if (trace === null) return
  headers.push('traceparent', `00-${trace.traceId}-${trace.spanId}-${trace.sampled ? '01' : '00'}`)
  if (trace.state !== null) headers.push('tracestate', trace.state)
}
