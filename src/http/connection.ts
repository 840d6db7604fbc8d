/**
 * What becomes of a connection after an answer that left the request unread. A refused connection is condemned: requests
 * pipelined behind the refusal are never run, since they may be the hidden half of a smuggled one. A large unread body is
 * not taken in: the answer goes out, the client gets a moment to read it, then the socket closes.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

import type { Clock } from '../base/clock.ts'
import type { RequestHeaders } from '../wire/request-headers.ts'

/** Unread bodies up to this size are read and dropped, so that the connection can be used again. */
const drainBytesMax = 65_536
/** How long a small unread body may take to arrive. */
const drainMs = 2_000
/** How long a client may take to read an answer before the socket closes: closing at once would reset what is under way. */
const lingerMs = 500

const condemned = new WeakSet<Socket>()

/** True when nothing more on this connection may be run. */
export function isCondemned(incoming: IncomingMessage): boolean {
  return condemned.has(incoming.socket)
}

/** Nothing that follows on this connection is run; call before the head is written. */
export function condemn(incoming: IncomingMessage, outgoing: ServerResponse): void {
  condemned.add(incoming.socket)
  if (!outgoing.headersSent) outgoing.setHeader('connection', 'close')
}

/** True when the request announces a body. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] !== undefined && headers['content-length'] !== '0')
}

/** A short answer, complete in itself. */
export interface ShortAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: string | Buffer
}

/** A request at the door. */
export interface Arrival {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly headers: RequestHeaders
  /** A key that stood in the path and was taken out of it. */
  readonly pathKey: string | null
}

/** One exchange, and the clock of its timers. */
export interface Exchange {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly clock: Clock
}

/** Answers a request whose body nobody has read, or will read to its end. Does nothing once a head went out. */
export function answerUnread(exchange: Exchange, { status, headers, body }: ShortAnswer): void {
  const { incoming, outgoing } = exchange
  if (outgoing.headersSent || outgoing.destroyed) return
  const unread = hasBody(incoming) && !incoming.complete
  const small = unread && Number(incoming.headers['content-length'] ?? Number.NaN) <= drainBytesMax && !incoming.isPaused()
  if (unread && !small) condemn(incoming, outgoing)
  outgoing.writeHead(status, status === 204 ? headers : { ...headers, 'content-length': String(Buffer.byteLength(body)) })
  if (isCondemned(incoming) && unread) {
    linger(exchange, body)
    return
  }
  outgoing.end(body)
  if (unread) dropWhenSlow({ ...exchange, socket: incoming.socket })
}

/**
 * Bounds the body of a request that somebody else answers, reading it or not. False: it is too large, and was answered here.
 * `bytesMax`: what may be declared; left out: what is small enough to be dropped.
 */
export function boundBody(
  { incoming, outgoing, headers }: Arrival,
  { clock, bytesMax = drainBytesMax }: { readonly clock: Clock; readonly bytesMax?: number },
  refuse: () => void,
): boolean {
  if (!headers.hasBody) return true
  const declaredBytes = headers.contentLength === null ? null : Number(headers.contentLength)
  if (declaredBytes !== null && declaredBytes > bytesMax) {
    refuse()
    return false
  }
  // A body without a declared end is cut with the answer; a small one may arrive.
  if (declaredBytes === null) condemn(incoming, outgoing)
  const { socket } = incoming
  outgoing.once('finish', () => {
    if (!incoming.complete) dropWhenSlow({ incoming, socket, clock })
  })
  return true
}

/** The whole answer goes out now, the end of the connection follows. */
function linger({ incoming, outgoing, clock }: Exchange, body: string | Buffer): void {
  incoming.pause()
  if (body.length === 0) outgoing.flushHeaders()
  else outgoing.write(body)
  // At once and not at the next tick: the parser may fail on the rest of the request before that.
  outgoing.socket?.uncork()
  const timer = clock.after(lingerMs, () => outgoing.end())
  outgoing.on('close', () => timer.cancel())
}

/** `socket` as it was at the start: a request that was destroyed has none. */
function dropWhenSlow({ incoming, socket, clock }: Pick<Exchange, 'incoming' | 'clock'> & { readonly socket: Socket }): void {
  clock.after(drainMs, () => {
    if (!incoming.complete) socket.destroy()
  })
}
