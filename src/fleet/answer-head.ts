/**
 * What a node's status line and headers promise: a stream of known framing, a body that comes whole, or nothing that an
 * Ollama would send.
 */
import type { RouteFacts } from '../core/route.ts'
import type { ResponseHeaders } from './transport.ts'

/** What the node sent, in words, where it is no answer of an Ollama (reliability-security.md §2, F27 and F28); null: it may be. */
export function problemOfHead(status: number, headers: ResponseHeaders): string | null {
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') return `a body in content-encoding ${String(encoding)}`
  return status >= 300 && status < 400 ? `a redirect (${status})` : null
}

/** Whether the body is to be read frame by frame. */
export function isStreamHead(route: RouteFacts, status: number, headers: ResponseHeaders): boolean {
  if (status !== 200 || !route.streams) return false
  const type = String(headers['content-type'] ?? '')
  if (route.framing === 'ndjson') return type.startsWith('application/x-ndjson')
  if (route.framing === 'sse') return type.startsWith('text/event-stream')
  return true
}
