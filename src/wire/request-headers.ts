/**
 * Which headers cross the gateway. Towards a node: no hop-by-hop header, none that a node would act on in a client's name
 * (credentials, origin, host, forwarding), none that undici sets itself. Towards a client: end-to-end headers only; never
 * `connection`, because a broken chunked body under `Connection: close` counts as complete (verified notes §e).
 */
import type { IncomingHttpHeaders } from 'node:http'

const droppedFromClient = new Set([
  'host',
  'origin',
  'referer',
  'authorization',
  'proxy-authorization',
  'x-api-key',
  'cookie',
  'expect',
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'content-length',
  'accept-encoding',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-prefix',
  'x-real-ip',
  'traceparent',
  'tracestate',
  'x-corral-hop',
  'x-corral-priority',
])

/** Client headers that may reach a node, lower case; a new object the caller may change. */
export function forwardHeaders(incoming: IncomingHttpHeaders): Record<string, string> {
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  const { connection } = incoming
  const listed = connection === undefined || connection === 'keep-alive' ? null : tokens(connection)
  for (const name in incoming) {
    if (droppedFromClient.has(name) || name.startsWith('access-control-') || listed?.has(name) === true) continue
    const value = incoming[name]
    if (typeof value === 'string') headers[name] = value
    else if (value !== undefined) headers[name] = value.join(', ')
  }
  return headers
}

function tokens(connection: string): ReadonlySet<string> {
  return new Set(
    connection
      .toLowerCase()
      .split(',')
      .map((token) => token.trim()),
  )
}

const droppedFromNode = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'transfer-encoding',
  'content-length',
  'trailer',
  'upgrade',
  'date',
  'server',
  'vary',
])

/** Node headers that may reach a client, lower case. CORS is the gateway's own. */
export function responseHeaders(raw: Readonly<Record<string, string | string[] | undefined>>): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {}
  for (const name in raw) {
    const value = raw[name]
    if (value === undefined || droppedFromNode.has(name) || name.startsWith('access-control-')) continue
    headers[name] = value
  }
  return headers
}
