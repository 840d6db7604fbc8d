/**
 * The strict door before any routing: what Node's parser lets through and a gateway must not (reliability-security.md §5,
 * B5–B18), requests that would be read in two ways by two parsers, paths that mean something else once decoded, and the
 * Origin and Host rules of a real Ollama. It answers by itself and closes the connection, or lets the request pass.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'

import { CorralError, type ErrorCode } from '../core/errors.ts'
import { decideCors, isHostAllowed } from '../wire/cors.ts'
import { dialectOfPath } from '../wire/routes.ts'
import { sendError } from './send-error.ts'

export interface FrontOptions {
  /** Extra allowed origins, as `OLLAMA_ORIGINS` takes them. */
  readonly origins: readonly string[]
  /** Extra host names under which clients may reach a loopback listener. */
  readonly hosts: readonly string[]
  /** True when the listener is bound to loopback: a foreign Host is then refused, against DNS rebinding. */
  readonly loopback: boolean
  /** Value of the hop header that this process sends to nodes. */
  readonly hopId: string
  readonly newId: () => string
}

export const hopHeader = 'x-corral-hop'

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
/** Query parameters that carry credentials in other products; a URL ends up in logs. */
const credentialParameter = /[?&](api_key|apikey|api-key|access_token|key|token)=/i

/** True when the request may go on to the router. */
export function admit(incoming: IncomingMessage, outgoing: ServerResponse, options: FrontOptions): boolean {
  const refusal = refuse(incoming, options)
  if (refusal !== null) {
    outgoing.setHeader('connection', 'close')
    sendError(outgoing, dialectOfPath(incoming.url ?? '/'), refusal, options.newId())
    return false
  }
  return admitOrigin(incoming, outgoing, options) && admitPath(incoming, outgoing, options)
}

function refuse(incoming: IncomingMessage, options: FrontOptions): CorralError | null {
  return refuseProtocol(incoming) ?? refuseFraming(incoming) ?? refuseTarget(incoming, options)
}

function error(code: ErrorCode, message: string): CorralError {
  return new CorralError(code, message)
}

function refuseProtocol(incoming: IncomingMessage): CorralError | null {
  const { httpVersionMajor, httpVersionMinor, method = '' } = incoming
  if (httpVersionMajor !== 1 || httpVersionMinor > 1) {
    return error('invalid_request', `HTTP/${incoming.httpVersion} is not supported; use HTTP/1.1`)
  }
  if (!methods.has(method)) return error('not_implemented', `the method ${method.slice(0, 20)} is not supported`)
  let hosts = 0
  for (let index = 0; index < incoming.rawHeaders.length; index += 2) {
    if (incoming.rawHeaders[index]?.length === 4 && incoming.rawHeaders[index]?.toLowerCase() === 'host') hosts += 1
  }
  if (hosts > 1) return error('invalid_request', 'two Host headers')
  return null
}

function refuseFraming({ headers, httpVersionMinor, method }: IncomingMessage): CorralError | null {
  const encoding = headers['transfer-encoding']
  if (encoding !== undefined) {
    if (httpVersionMinor === 0) return error('invalid_request', 'Transfer-Encoding in an HTTP/1.0 request')
    if (encoding.toLowerCase() !== 'chunked') return error('not_implemented', 'Transfer-Encoding other than chunked is not supported')
  }
  const hasBody = encoding !== undefined || (headers['content-length'] !== undefined && headers['content-length'] !== '0')
  if (hasBody && (method === 'GET' || method === 'HEAD')) return error('invalid_request', `a ${method} request takes no body`)
  return null
}

function refuseTarget(incoming: IncomingMessage, options: FrontOptions): CorralError | null {
  const target = incoming.url ?? '/'
  if (!target.startsWith('/')) return error('invalid_request', 'the request target must be a path')
  if (incoming.headers[hopHeader] === options.hopId) {
    return error('loop_detected', 'this request came from Corral itself: a node URL points at its own listener (check CORRAL_NODES and OLLAMA_HOST)')
  }
  if (target.includes('?') && credentialParameter.test(target)) {
    return error('credential_in_url', 'a credential does not belong in the URL; send it as Authorization: Bearer')
  }
  return null
}

/** Origin and Host as Ollama treats them; also answers preflights. */
function admitOrigin(incoming: IncomingMessage, outgoing: ServerResponse, options: FrontOptions): boolean {
  const { host = '', origin } = incoming.headers
  if (options.loopback && !isHostAllowed(host, options.hosts)) {
    outgoing.writeHead(403, { 'content-length': '0' }).end()
    return false
  }
  if (origin === undefined) return true
  const decision = decideCors({
    origin,
    host,
    method: incoming.method ?? 'GET',
    requestMethod: incoming.headers['access-control-request-method'] ?? null,
    allowed: options.origins,
  })
  if (decision.kind === 'pass') {
    for (const [name, value] of Object.entries(decision.headers)) outgoing.setHeader(name, value)
    return true
  }
  const status = decision.kind === 'preflight' ? 204 : 403
  outgoing.writeHead(status, decision.kind === 'preflight' ? decision.headers : { 'content-length': '0' }).end()
  return false
}

/** Percent escapes are only for parameters (a model name in `/v1/models/…`), never for the words of a route. */
function admitPath(incoming: IncomingMessage, outgoing: ServerResponse, options: FrontOptions): boolean {
  const target = incoming.url ?? '/'
  if (!target.includes('%')) return true
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  return !path.includes('%') || admitEncoded(path, incoming, outgoing, options)
}

/** Prefixes whose rest is a parameter and may be escaped. */
const parameterPrefixes = ['/v1/models/', '/api/blobs/', '/api/user/keys/', '/admin/']

function admitEncoded(path: string, incoming: IncomingMessage, outgoing: ServerResponse, options: FrontOptions): boolean {
  const prefix = parameterPrefixes.find((candidate) => path.startsWith(candidate))
  const rest = prefix === undefined ? null : decode(path.slice(prefix.length))
  if (rest !== null && !/[\\\0]|(^|\/)\.{1,2}(\/|$)/.test(rest)) return true
  const message = 'percent-encoding is not accepted in this path'
  sendError(outgoing, dialectOfPath(incoming.url ?? '/'), error('route_not_found', message), options.newId())
  return false
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
