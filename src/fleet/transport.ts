/**
 * The only file that knows undici: one connection pool per node, requests out, bytes back. It owns sockets and turns every
 * way in which they fail into one `TransportError`; it knows nothing of models, retries or health.
 *
 * No hidden limits: connections are unbounded (admission bounds them), undici's 300 s timers are off (each phase has its
 * own deadline above), HTTP/2 is off (Ollama speaks HTTP/1.1), bodies are never decoded.
 */
import { readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'

import { Pool, type Dispatcher } from 'undici'

import type { CallSignal } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { AddressBook, type Resolve } from './address-book.ts'

export type TransportErrorKind = 'connect' | 'local' | 'reset' | 'protocol' | 'timeout' | 'too_large' | 'aborted'

/** How an exchange with a node failed below HTTP. */
export class TransportError extends Error {
  override readonly name = 'TransportError'
  readonly kind: TransportErrorKind
  /** True when the socket had carried an earlier exchange: a keep-alive race, safe to resend once. */
  readonly reusedSocket: boolean

  constructor(kind: TransportErrorKind, message: string, options: { cause?: unknown; reusedSocket?: boolean } = {}) {
    super(message, { cause: options.cause })
    this.kind = kind
    this.reusedSocket = options.reusedSocket ?? false
  }
}

export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>

export interface NodeRequest {
  readonly method: string
  /** Path and query below the node's prefix. */
  readonly path: string
  /** A flat list of names, in lower case, and values. The transport takes it over; the node's own win over those of the same name. */
  readonly headers: string[]
  readonly body: Buffer | string | Readable | null
}

/** Called in order: `onHead`, `onData`*, then one of `onEnd` and `onError`. Nothing is called after `abort`. */
export interface ResponseHandler {
  onHead(status: number, headers: ResponseHeaders): void
  onData(chunk: Buffer): void
  onEnd(): void
  onError(error: TransportError): void
}

/** One request under way. */
export interface Exchange {
  /** Closes the socket at once; the handler hears nothing more. Safe at any time, also twice. */
  abort(reason: string): void
}

export interface WholeResponse {
  readonly status: number
  readonly headers: ResponseHeaders
  readonly body: Buffer
}

export interface WholeRequestOptions {
  readonly timeoutMs: number
  readonly bytesMax?: number
  /** Ends the request from outside. */
  readonly signal?: CallSignal
}

export interface TransportOptions {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly connectTimeoutMs: number
  readonly caFile?: string | undefined
  readonly clock: Clock
  /** Asks for the addresses of the node's name; the system's resolver when absent. */
  readonly resolve?: Resolve
}

export interface Transport {
  readonly url: string
  open(request: NodeRequest, handler: ResponseHandler): Exchange
  /** A small request read whole. Rejects with `TransportError`. */
  request(request: NodeRequest, options: WholeRequestOptions): Promise<WholeResponse>
  /** Ends everything under way. */
  close(): Promise<void>
  /** Takes no new requests and closes when those under way have ended. */
  closeWhenIdle(): Promise<void>
}

const connectCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** This machine has no file descriptor, port or memory left for a connection: that tells nothing of the node. */
const localCodes = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM'])

/** Bytes that had come on the socket of `error`, which undici notes there; 0 when it says nothing. */
function bytesReadBefore(error: Error): number {
  const socket: unknown = 'socket' in error ? error.socket : null
  if (typeof socket !== 'object' || socket === null || !('bytesRead' in socket)) return 0
  return typeof socket.bytesRead === 'number' ? socket.bytesRead : 0
}

/** What an error of undici or of a socket means. */
export function toTransportError(error: Error): TransportError {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const reusedSocket = bytesReadBefore(error) > 0
  const message = describe(error, code)
  if (code === 'UND_ERR_ABORTED') return new TransportError('aborted', message, { cause: error })
  if (localCodes.has(code)) return new TransportError('local', message, { cause: error })
  if (connectCodes.has(code) || code.startsWith('ERR_TLS') || code.includes('CERT') || code.includes('SIGNATURE')) {
    return new TransportError('connect', message, { cause: error })
  }
  if (code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW' || code.startsWith('UND_ERR_RES')) {
    return new TransportError('protocol', message, { cause: error })
  }
  return new TransportError('reset', message, { cause: error, reusedSocket })
}

const descriptions: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name look-up failed',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'connect timeout',
  UND_ERR_CONNECT_TIMEOUT: 'connect timeout',
  UND_ERR_SOCKET: 'connection closed',
  EMFILE: 'this process has no file descriptor left',
  EADDRNOTAVAIL: 'this machine has no port left',
}

function describe(error: Error, code: string): string {
  return descriptions[code] ?? (code === '' ? error.message : `${error.message} (${code})`)
}

/** The bridge from undici's callbacks; also the `Exchange` it belongs to, to save an object per request. */
class Bridge implements Dispatcher.DispatchHandler, Exchange {
  readonly #handler: ResponseHandler
  #controller: Dispatcher.DispatchController | null = null
  #abortReason: Error | null = null
  #settled = false

  constructor(handler: ResponseHandler) {
    this.#handler = handler
  }

  abort(reason: string): void {
    if (this.#settled) return
    this.#settled = true
    this.#abortReason = new Error(reason)
    this.#controller?.abort(this.#abortReason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#abortReason !== null) controller.abort(this.#abortReason)
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: ResponseHeaders): void {
    if (this.#settled || status < 200) return
    this.#handler.onHead(status, headers)
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#settled) this.#handler.onData(chunk)
  }

  onResponseEnd(): void {
    if (this.#settled) return
    this.#settled = true
    this.#handler.onEnd()
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.#settled) return
    this.#settled = true
    this.#handler.onError(toTransportError(error))
  }
}

/** Timers run before sockets are read: after a stall of this process an answer in time may lie there unread for this long. */
const unreadMs = 20

/** Collects a body for `request`, under a size cap and a deadline. */
function readWhole(
  open: (handler: ResponseHandler) => Exchange,
  clock: Clock,
  { timeoutMs, bytesMax = 64 * 1_048_576, signal }: WholeRequestOptions,
): Promise<WholeResponse> {
  return new Promise((resolve, reject) => {
    let status = 0
    let headers: ResponseHeaders = {}
    let bytes = 0
    const chunks: Buffer[] = []
    const settle = (): void => {
      timer.cancel()
      signal?.off(onAbort)
    }
    const onAbort = (reason: unknown): void => {
      settle()
      exchange.abort(String(reason))
      reject(new TransportError('aborted', String(reason)))
    }
    const expire = (): void => {
      settle()
      exchange.abort('timeout')
      reject(new TransportError('timeout', `no answer within ${timeoutMs} ms`))
    }
    let timer = clock.after(timeoutMs, () => {
      timer = clock.after(unreadMs, expire)
    })
    const exchange = open({
      onHead(headStatus, headHeaders) {
        status = headStatus
        headers = headHeaders
      },
      onData(chunk) {
        bytes += chunk.length
        if (bytes > bytesMax) {
          settle()
          exchange.abort('too large')
          reject(new TransportError('too_large', `answer over ${bytesMax} bytes`))
          return
        }
        chunks.push(chunk)
      },
      onEnd() {
        settle()
        resolve({ status, headers, body: chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks) })
      },
      onError(error) {
        settle()
        reject(error)
      },
    })
    signal?.on(onAbort)
  })
}

/** Takes every header of these names out of a flat list, in place. */
function dropNamed(headers: string[], names: ReadonlySet<string>): void {
  let kept = 0
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? ''
    if (names.has(name)) continue
    headers[kept] = name
    headers[kept + 1] = headers[at + 1] ?? ''
    kept += 2
  }
  headers.length = kept
}

/** The part of the connect timeout that a look-up of the node's name may take while an earlier answer is at hand. */
const resolveShare = 0.25

/** A pool of keep-alive connections to one node. `url` may carry a path prefix. Throws when the CA file cannot be read. */
export function createTransport(options: TransportOptions): Transport {
  const url = new URL(options.url)
  const prefix = url.pathname.replace(/\/+$/, '')
  const nodeHeaders = Object.entries(options.headers).flat()
  const nodeNames: ReadonlySet<string> = new Set(Object.keys(options.headers).map((name) => name.toLowerCase()))
  const { clock, resolve, connectTimeoutMs } = options
  const book = new AddressBook({ clock, resolveMsMax: resolveShare * connectTimeoutMs, ...(resolve === undefined ? {} : { resolve }) })
  const pool = new Pool(url.origin, {
    connections: null,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    allowH2: false,
    connect: {
      timeout: connectTimeoutMs,
      lookup: book.lookup,
      ...(options.caFile === undefined ? {} : { ca: readFileSync(options.caFile) }),
    },
  })

  function open(request: NodeRequest, handler: ResponseHandler): Exchange {
    const bridge = new Bridge(handler)
    const { headers } = request
    if (nodeNames.size > 0) dropNamed(headers, nodeNames)
    for (const part of nodeHeaders) headers.push(part)
    pool.dispatch({ path: prefix + request.path, method: request.method, headers, body: request.body }, bridge)
    return bridge
  }

  return {
    url: options.url,
    open,
    request: (request, whole) => readWhole((handler) => open(request, handler), clock, whole),
    close: () => pool.destroy(),
    closeWhenIdle: () => pool.close(),
  }
}
