/**
 * One HTTP answer as Go's server writes it: header order, `Content-Length` up to 2 KiB and one chunk beyond, no
 * `Connection` or `Keep-Alive` unless a handler sets it, one chunk per streamed frame. Faults that strike inside an answer
 * are applied here, so that handlers never know of them.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { STATUS_CODES } from 'node:http'
import type { Fault } from './faults.ts'
import type { Ticker } from './ticker.ts'

const autoLengthBytes = 2_048
let dateText = ''
let dateSecond = 0

function httpDate(wallMs: number): string {
  const second = Math.floor(wallMs / 1_000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = new Date(wallMs).toUTCString()
  }
  return dateText
}

/** The type of a whole body; `streamed` where the real server sends it as one chunk whatever its length. */
export type ContentType = string | null | { readonly streamed: string }

export class Answer {
  readonly request: IncomingMessage
  readonly #response: ServerResponse
  readonly #ticker: Ticker
  #headers: [string, string][] = []
  #state: 'fresh' | 'streaming' | 'over' = 'fresh'
  #frames = 0
  #chunked = false
  #closes = false
  #flushed = false
  #goneListeners: (() => void)[] = []
  #gone = false
  fault: Fault | null = null
  /** The decoded path, without the query. */
  path = ''
  /** The last segment of a path whose route takes one. */
  parameter = ''
  /** The client left while its request waited for a load: the real server never closes that socket. */
  keepsSocket = false
  /** Text of the error line a fault sends; the dialect sets it. */
  faultFrame: string | null = null

  constructor(request: IncomingMessage, response: ServerResponse, ticker: Ticker) {
    this.request = request
    this.#response = response
    this.#ticker = ticker
    response.sendDate = false
    response.removeHeader('Connection')
    if (/\bclose\b/i.test(request.headers.connection ?? '')) this.closeAfter()
  }

  get started(): boolean {
    return this.#state !== 'fresh'
  }
  get over(): boolean {
    return this.#state === 'over'
  }
  get gone(): boolean {
    return this.#gone
  }
  get frameCount(): number {
    return this.#frames
  }

  /** Sets a header in Go's spelling; a value replaces an earlier one. */
  set(name: string, value: string): void {
    this.#headers = this.#headers.filter(([other]) => other !== name)
    this.#headers.push([name, value])
  }

  /** Adds a header that may come more than once. */
  add(name: string, value: string): void {
    this.#headers.push([name, value])
  }

  /** Refuses a request before HTTP is spoken properly: no date, no length, connection closed. */
  refuseRaw(line: string): void {
    this.#state = 'over'
    const status = line.slice(0, line.indexOf(':') < 0 ? undefined : line.indexOf(':'))
    this.#response.socket?.end(`HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${line}`)
  }

  /** Runs once when the client leaves before the end. */
  onGone(listener: () => void): void {
    if (this.#gone) listener()
    else this.#goneListeners.push(listener)
  }

  /** The client left; called by the node. `halfClosed`: it only stopped sending, so a last frame still reaches it. */
  leave(halfClosed = false): void {
    if (this.#gone || this.#state === 'over') return
    if (!halfClosed) this.#gone = true
    for (const listener of this.#goneListeners) listener()
    this.#gone = true
  }

  /** A whole answer. */
  whole(status: number, body: string | null, type: ContentType): void {
    if (this.#state !== 'fresh') return
    const streamed = typeof type === 'object' && type !== null
    const name = streamed ? type.streamed : type
    if (name !== null) this.set('Content-Type', name)
    const bytes = body === null ? 0 : Buffer.byteLength(body)
    if (bytes > autoLengthBytes && this.request.method === 'HEAD') return this.bare(status)
    if (streamed || bytes > autoLengthBytes) {
      this.#head(status)
      this.frames(body === null || body === '' ? [] : [body])
      this.end()
      return
    }
    this.#state = 'over'
    const raw = this.#rawHeaders()
    if (status !== 204) raw.push('Content-Length', String(bytes))
    if (this.#closes) raw.push('Connection', 'close')
    if (this.request.httpVersionMinor === 0) {
      this.#oldHead(status, raw)
      this.#oldEnd(body ?? '')
      return
    }
    this.#response.writeHead(status, STATUS_CODES[status] ?? '', raw)
    this.#response.end(this.request.method === 'HEAD' || body === null ? undefined : body)
  }

  /** A status without a length and without a body (some answers to HEAD). */
  bare(status: number): void {
    if (this.#state !== 'fresh') return
    this.#state = 'over'
    this.#response.removeHeader('Transfer-Encoding')
    this.#response.writeHead(status, STATUS_CODES[status] ?? '', this.#rawHeaders())
    this.#response.end()
  }

  /** The connection is closed after this answer, without reading the request's body. */
  closeAfter(): void {
    this.#closes = true
    this.#response.shouldKeepAlive = false
  }

  /** Tells a client that waits for it to send its body. */
  allowBody(): void {
    if (this.request.headers.expect !== undefined) this.#response.writeContinue()
  }

  /** Opens a stream; its head goes out with the first frame. */
  begin(contentType: string): void {
    if (this.#state !== 'fresh') return
    this.set('Content-Type', contentType)
    this.#head(200)
  }

  #head(status: number): void {
    this.#state = 'streaming'
    const raw = this.#rawHeaders()
    this.#chunked = this.request.httpVersionMinor > 0
    if (!this.#chunked) return this.#oldHead(status, raw)
    if (this.#closes) raw.push('Connection', 'close')
    raw.push('Transfer-Encoding', 'chunked')
    this.#response.writeHead(status, STATUS_CODES[status] ?? '', raw)
  }

  /** Node answers HTTP/1.0 requests as 1.1, so their bytes are written here. */
  #oldHead(status: number, raw: readonly string[]): void {
    let head = `HTTP/1.0 ${status} ${STATUS_CODES[status] ?? ''}\r\n`
    for (let index = 0; index < raw.length; index += 2) head += `${raw[index] ?? ''}: ${raw[index + 1] ?? ''}\r\n`
    this.#response.socket?.write(`${head}\r\n`)
  }

  #oldEnd(body: string): void {
    this.#response.socket?.end(this.request.method === 'HEAD' ? '' : body)
  }

  #rawHeaders(): string[] {
    const raw: string[] = []
    for (const [name, value] of this.#headers.toSorted((one, other) => (one[0] < other[0] ? -1 : 1))) raw.push(name, value)
    raw.push('Date', httpDate(this.#ticker.clock.wallMs()))
    return raw
  }

  /** Sends frames, each as a chunk of its own, in one write. */
  frames(texts: readonly string[]): void {
    if (this.#state !== 'streaming' || this.#gone) return
    let rest = texts
    if (this.fault !== null) rest = this.#strike(texts, this.fault)
    this.#frames += rest.length
    this.#write(rest)
  }

  /** Node would merge chunks written in one turn, so chunks are framed here and handed to the socket as one text. */
  #write(texts: readonly string[]): void {
    if (texts.length === 0) return
    const socket = this.#response.socket
    if (!this.#chunked || socket === null) {
      socket?.write(texts.join(''))
      return
    }
    let out = ''
    for (const text of texts) out += `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
    socket.cork()
    if (!this.#flushed) this.#response.flushHeaders()
    this.#flushed = true
    socket.write(out)
    socket.uncork()
  }

  /** Applies a mid-stream fault; returns the frames that go out unharmed. */
  #strike(texts: readonly string[], fault: Fault): readonly string[] {
    const healthy = texts.slice(0, Math.max(0, fault.frame - this.#frames))
    if (healthy.length === texts.length) return texts
    const struck = texts[healthy.length] ?? ''
    switch (fault.kind) {
      case 'rst-at-frame':
        this.#cutAfter(healthy, () => this.#response.socket?.resetAndDestroy())
        return []
      case 'truncate':
        this.#cutAfter(healthy, () => this.#response.socket?.end())
        return []
      case 'hang-mid-stream':
        this.#frames += healthy.length
        this.#write(healthy)
        this.#state = 'over'
        return []
      case 'error-line':
        this.#frames += healthy.length + 1
        this.#write([...healthy, this.faultFrame ?? '{"error":"an error was encountered while running the model: unexpected EOF"}\n'])
        this.end()
        return []
      case 'malformed-json':
        this.fault = null
        return [...healthy, `${struck.slice(0, Math.floor(struck.length / 2))}\n`, ...texts.slice(healthy.length + 1)]
      case 'slow-loris':
        this.#dribble(healthy, struck, fault.pauseMs)
        return []
      default:
        return texts
    }
  }

  #cutAfter(healthy: readonly string[], cut: () => void): void {
    this.#frames += healthy.length
    this.#write(healthy)
    this.#state = 'over'
    if (!this.#flushed) this.#response.flushHeaders()
    this.#flushed = true
    this.#ticker.after(2, cut)
  }

  /** Sends one frame a byte at a time and never ends. */
  #dribble(healthy: readonly string[], struck: string, pauseMs: number): void {
    this.#frames += healthy.length
    this.#write(healthy)
    this.#state = 'over'
    let at = 0
    const next = (): void => {
      if (this.#response.destroyed || at >= struck.length) return
      this.#write([struck.charAt(at)])
      at += 1
      this.#ticker.after(pauseMs, next)
    }
    next()
  }

  /** Ends the body cleanly. */
  end(): void {
    if (this.#state !== 'streaming') return
    this.#state = 'over'
    if (this.#chunked) this.#response.end()
    else this.#oldEnd('')
  }

  /** The node is killed: the connection ends without an end of the body. */
  breakOff(): void {
    this.#state = 'over'
    this.#response.socket?.destroy()
  }

  /** The connection is reset. */
  reset(): void {
    this.#state = 'over'
    this.#response.socket?.resetAndDestroy()
  }
}
