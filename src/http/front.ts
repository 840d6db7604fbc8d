/**
 * The strict door before any routing: what Node's parser lets through and a gateway must not (reliability-security.md §5,
 * B5–B18), requests that would be read in two ways by two parsers, paths that mean something else once decoded, and the
 * Origin and Host rules of a real Ollama. It answers by itself and closes the connection, or lets the request pass.
 */
import type { IncomingMessage } from 'node:http'

import type { Clock } from '../base/clock.ts'
import { CorralError, type ErrorCode } from '../core/errors.ts'
import { decideCors, isHostAllowed } from '../wire/cors.ts'
import { dialectOfPath } from '../wire/routes.ts'
import { answerUnread, type Arrival, condemn, type Exchange } from './connection.ts'
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

/** What the door needs besides its options. */
export type Door = FrontOptions & { readonly clock: Clock }

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
/** Bytes of a target that two parsers could read in two ways: control characters, a backslash, a fragment, anything beyond ASCII. */
const oddTarget = /[\0-\x20\x7f-\uffff\\#]/
/** What cannot be in a host name, an address or a port. */
const oddHost = /[^\w.:[\]%~-]/
/** The host that was looked at last: nearly every request names the same one. */
let lastGoodHost = ''
/** Node drops what goes beyond 2,000 header lines without a word. */
const headersMax = 1_000
/** Query parameters that carry credentials in other products; a URL ends up in logs. */
const credentialParameter = /[?&](api_key|apikey|api-key|access_token|key|token)=/i

/** True when the request may go on to the router. */
export function admit(arrival: Arrival, door: Door): boolean {
  const { incoming, outgoing } = arrival
  const refusal = refuse(arrival, door)
  if (refusal !== null) {
    condemn(incoming, outgoing)
    sendError({ incoming, outgoing, clock: door.clock }, dialectOfPath(incoming.url ?? '/'), refusal, door.newId())
    return false
  }
  return admitOrigin(arrival, door) && admitPath(arrival, door)
}

function refuse(arrival: Arrival, options: FrontOptions): CorralError | null {
  const { incoming } = arrival
  return refuseProtocol(incoming) ?? refuseHeaders(arrival) ?? refuseFraming(arrival) ?? refuseTarget(arrival, options)
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
  return null
}

function refuseHeaders({ incoming, headers }: Arrival): CorralError | null {
  if (incoming.rawHeaders.length > 2 * headersMax) {
    return new CorralError('invalid_request', `more than ${headersMax} header lines`, { status: 431 })
  }
  if (headers.hosts > 1) return error('invalid_request', 'two Host headers')
  if (headers.host !== null && headers.host !== lastGoodHost) {
    if (oddHost.test(headers.host)) return error('invalid_request', 'the Host header is no host')
    lastGoodHost = headers.host
  }
  return null
}

function refuseFraming({ incoming, headers }: Arrival): CorralError | null {
  const { httpVersionMinor, method } = incoming
  const encoding = headers.transferEncoding
  if (encoding !== null) {
    if (httpVersionMinor === 0) return error('invalid_request', 'Transfer-Encoding in an HTTP/1.0 request')
    if (encoding.toLowerCase() !== 'chunked') return error('not_implemented', 'Transfer-Encoding other than chunked is not supported')
  }
  if ((method === 'GET' || method === 'HEAD') && headers.hasBody) return error('invalid_request', `a ${method} request takes no body`)
  return null
}

function refuseTarget({ incoming, headers }: Arrival, options: FrontOptions): CorralError | null {
  const target = incoming.url ?? '/'
  if (!target.startsWith('/')) return error('invalid_request', 'the request target must be a path')
  if (oddTarget.test(target)) return error('invalid_request', 'the request target holds characters that must be percent-encoded')
  if (passed(headers.hop, options.hopId) || passed(headers.pastHops, options.hopId)) {
    return error(
      'loop_detected',
      'this request came from Corral itself: a node URL points at its own listener (check CORRAL_NODES and OLLAMA_HOST)',
    )
  }
  const query = target.indexOf('?')
  if (query >= 0 && credentialParameter.test(decodeLoosely(target.slice(query)))) {
    return error('credential_in_url', 'a credential does not belong in the URL; send it as Authorization: Bearer')
  }
  return null
}

function passed(hops: string | null, hopId: string): boolean {
  return hops !== null && hops.includes(hopId)
}

/** Escapes of ASCII decoded, whatever the rest is. */
function decodeLoosely(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

const bareForbidden = { status: 403, headers: {}, body: '' }

/** Origin and Host as Ollama treats them; also answers preflights. */
function admitOrigin({ incoming, outgoing, headers }: Arrival, options: Door): boolean {
  const { origin } = headers
  const host = headers.host ?? ''
  const exchange: Exchange = { incoming, outgoing, clock: options.clock }
  if (options.loopback && !isHostAllowed(host, options.hosts)) {
    answerUnread(exchange, bareForbidden)
    return false
  }
  if (origin === null) return true
  const decision = decideCors({
    origin,
    host,
    method: incoming.method ?? 'GET',
    requestMethod: headers.requestMethod,
    allowed: options.origins,
  })
  if (decision.kind === 'pass') {
    for (const [name, value] of Object.entries(decision.headers)) outgoing.setHeader(name, value)
    return true
  }
  answerUnread(exchange, decision.kind === 'preflight' ? { status: 204, headers: decision.headers, body: '' } : bareForbidden)
  return false
}

/** Percent escapes are only for parameters (a model name in `/v1/models/…`), never for the words of a route. */
function admitPath({ incoming, outgoing }: Arrival, options: Door): boolean {
  const target = incoming.url ?? '/'
  if (!target.includes('%')) return true
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  return !path.includes('%') || admitEncoded(path, { incoming, outgoing, clock: options.clock }, options)
}

/** Prefixes whose rest is a parameter and may be escaped. */
const parameterPrefixes = ['/v1/models/', '/api/blobs/', '/api/user/keys/', '/admin/', '/rag/']

function admitEncoded(path: string, exchange: Exchange, { newId }: Door): boolean {
  const prefix = parameterPrefixes.find((candidate) => path.startsWith(candidate))
  const rest = prefix === undefined ? null : decode(path.slice(prefix.length))
  if (rest !== null && !/[\\\0]|(^|\/)\.{1,2}(\/|$)/.test(rest)) return true
  const message = 'percent-encoding is not accepted in this path'
  sendError(exchange, dialectOfPath(path), error('route_not_found', message), newId())
  return false
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
