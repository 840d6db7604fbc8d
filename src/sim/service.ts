/**
 * Takes requests off the wire for one node: counts them, applies what comes before a handler (host and origin checks,
 * preflights, redirects, faults), reads the body and calls the route. It also sees clients leave.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { zstdDecompressSync } from 'node:zlib'
import { Answer } from './answer.ts'
import type { NodeContext } from './context.ts'
import { checkOrigin, isAllowedHost } from './cors.ts'
import type { Fault } from './faults.ts'
import { anthropicError } from './reply-anthropic.ts'
import { openAiError } from './reply-openai.ts'
import type { Refusal } from './inference-request.ts'
import { matchRoute, redirectOf, type Matched, type Route } from './routes.ts'

export interface ServiceCounts {
  readonly requests: number
  readonly inFlight: number
  readonly peakInFlight: number
  readonly aborted: number
  readonly byPath: Readonly<Record<string, number>>
}

const noBody = Buffer.alloc(0)

function decodedPath(url: string): string {
  const query = url.indexOf('?')
  const path = query < 0 ? url : url.slice(0, query)
  if (!path.includes('%')) return path
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** The `/v1` routes unpack zstd, which Codex sends; other routes look at the bytes as they are. */
function unpacked(request: IncomingMessage, body: Buffer): Buffer {
  if (request.headers['content-encoding'] !== 'zstd' || request.url?.startsWith('/v1/') !== true) return body
  try {
    return zstdDecompressSync(body)
  } catch {
    return body
  }
}

export class NodeService {
  readonly #context: NodeContext
  #requests = 0
  #inFlight = new Set<Answer>()
  #peakInFlight = 0
  #aborted = 0
  #byPath = new Map<string, number>()
  #watched = new WeakSet<Socket>()
  leakedSockets = 0

  constructor(context: NodeContext) {
    this.#context = context
  }

  counts(): ServiceCounts {
    return {
      requests: this.#requests,
      inFlight: this.#inFlight.size,
      peakInFlight: this.#peakInFlight,
      aborted: this.#aborted,
      byPath: Object.fromEntries(this.#byPath),
    }
  }

  attach(server: Server): void {
    const take = (request: IncomingMessage, response: ServerResponse): void => this.#take(request, response)
    server.on('request', take)
    server.on('checkContinue', take)
    server.on('checkExpectation', take)
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.#refuseBytes(error, socket))
  }

  /** Every open answer breaks off. */
  breakAll(): void {
    for (const answer of this.#inFlight) {
      answer.leave()
      answer.breakOff()
    }
  }

  #refuseBytes(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (!socket.writable) return
    const line = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
    socket.end(`HTTP/1.1 ${line}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${line}`)
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const answer = new Answer(request, response, this.#context.ticker)
    const path = decodedPath(request.url ?? '/')
    answer.path = path
    this.#requests += 1
    this.#byPath.set(path, (this.#byPath.get(path) ?? 0) + 1)
    this.#inFlight.add(answer)
    this.#peakInFlight = Math.max(this.#peakInFlight, this.#inFlight.size)
    this.#onHalfClose(request.socket)
    response.on('close', () => {
      this.#inFlight.delete(answer)
      if (answer.gone || !response.writableFinished) this.#left(answer)
    })
    const fault = this.#context.faults.take(path)
    if (fault === null) this.#route(answer, path)
    else this.#faulty(answer, path, fault)
  }

  /** A client that shuts down its sending side counts as gone; one that waited for a load keeps its socket for ever. */
  #onHalfClose(socket: Socket): void {
    if (this.#watched.has(socket)) return
    this.#watched.add(socket)
    socket.on('end', () => {
      let keep = false
      for (const answer of this.#inFlight) {
        if (answer.request.socket !== socket) continue
        answer.leave(true)
        if (!answer.keepsSocket) continue
        keep = true
        this.leakedSockets += 1
        this.#aborted += 1
        this.#inFlight.delete(answer)
      }
      if (!keep) socket.end()
    })
  }

  #left(answer: Answer): void {
    this.#aborted += 1
    answer.leave()
  }

  #faulty(answer: Answer, path: string, fault: Fault): void {
    const { request } = answer
    switch (fault.kind) {
      case 'rst-before-head':
        answer.reset()
        return
      case 'hang-before-head':
        request.resume()
        return
      case 'half-closed':
        request.resume()
        request.socket.end()
        return
      case 'instant-503':
        return this.#fail(answer, path, { status: 503, message: 'server busy, please try again.  maximum pending requests exceeded' })
      case 'server-error':
        return this.#fail(answer, path, { status: 500, message: 'an error was encountered while running the model: unexpected EOF' })
      case 'missing-model':
        return this.#fail(answer, path, { status: 404, message: "model 'missing' not found" })
      case 'slow-head':
        this.#context.ticker.after(fault.pauseMs, () => this.#route(answer, path))
        return
      default:
        answer.fault = fault
        this.#route(answer, path)
    }
  }

  #fail(answer: Answer, path: string, refusal: Refusal): void {
    const { status, message } = refusal
    answer.request.resume()
    if (path === '/v1/messages') answer.whole(status, `${anthropicError(status, message, 'req_fault')}\n`, 'application/json')
    else if (path.startsWith('/v1/')) answer.whole(status, `${openAiError(status, message)}\n`, 'application/json')
    else answer.whole(status, JSON.stringify({ error: message }), 'application/json; charset=utf-8')
  }

  #route(answer: Answer, path: string): void {
    const { request } = answer
    const method = request.method ?? 'GET'
    const { host } = request.headers
    if (host === undefined && request.httpVersionMinor > 0) {
      answer.refuseRaw('400 Bad Request: missing required Host header')
      return
    }
    const prefix = request.headers['x-forwarded-prefix']
    const redirect = redirectOf(method, path, typeof prefix === 'string' ? prefix : '')
    if (redirect !== null && redirect.status === 307 && path !== `${redirect.location}/`) return this.#redirect(answer, redirect, true)
    const matched = matchRoute(method, path)
    if (matched.route === null && matched.allow !== null) answer.set('Allow', matched.allow)
    if (!checkOrigin(answer, { any: this.#context.settings.origins === 'any', host: host ?? '' })) return
    if (host !== undefined && this.#context.settings.loopback && !isAllowedHost(host)) return answer.whole(403, null, null)
    if (redirect !== null) return this.#redirect(answer, redirect, false)
    this.#dispatch(answer, matched)
  }

  #redirect(answer: Answer, redirect: { status: number; location: string }, byMux: boolean): void {
    answer.request.resume()
    answer.set('Location', redirect.location)
    const method = answer.request.method ?? 'GET'
    if (!byMux && method !== 'GET') return answer.whole(redirect.status, null, null)
    const text = redirect.status === 301 ? 'Moved Permanently' : 'Temporary Redirect'
    const body = method === 'GET' ? `<a href="${redirect.location}">${text}</a>.\n\n` : null
    answer.whole(redirect.status, body, method === 'GET' || method === 'HEAD' ? 'text/html; charset=utf-8' : null)
  }

  #dispatch(answer: Answer, matched: Matched): void {
    const { route, allow } = matched
    answer.parameter = matched.parameter
    const { request } = answer
    if (route === null) {
      request.resume()
      if (allow === null) answer.whole(404, '404 page not found', 'text/plain')
      else answer.whole(405, '405 method not allowed', 'text/plain')
      return
    }
    if (route.unread) return this.#run(route, answer, noBody)
    answer.allowBody()
    if (request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined) {
      return this.#run(route, answer, noBody)
    }
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
      this.#run(route, answer, unpacked(request, body))
    })
  }

  /** A fault of the simulation itself is a bare 500, as the real server recovers from a panic, and a line on stderr. */
  #run(route: Route, answer: Answer, body: Buffer): void {
    try {
      route.handler(this.#context, answer, body)
    } catch (error) {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      if (answer.started) answer.breakOff()
      else answer.whole(500, null, null)
    }
  }
}
