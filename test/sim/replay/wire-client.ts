/**
 * A raw-socket HTTP client that keeps everything visible: header order, interim answers, framing, one frame per chunk and
 * how the body ended. A replacement for `fetch` where the bytes are the point.
 */
import { connect, type Socket } from 'node:net'
import type { RecordedRequest, RecordedResponse } from './transcript.ts'

export interface Exchange {
  readonly status: number
  readonly httpVersion: string
  readonly headers: readonly (readonly [string, string])[]
  readonly framing: RecordedResponse['framing']
  readonly interim: readonly number[]
  readonly frames: readonly string[]
  readonly end: RecordedResponse['end']
  /** The head of a chunked answer was there before any byte of its first frame. */
  readonly headAlone: boolean
}

const patienceMs = 10_000

type Draft = { -readonly [Key in keyof Exchange]: Exchange[Key] } & {
  headers: (readonly [string, string])[]
  interim: number[]
  frames: string[]
}

/** The body a recorded request stands for. */
export function bodyOf(request: RecordedRequest): Buffer | null {
  if (request.bodyText !== undefined) return Buffer.from(request.bodyText)
  if (request.bodyBase64 !== undefined) return Buffer.from(request.bodyBase64, 'base64')
  const repeat = request.bodyRepeat
  if (repeat !== undefined) return Buffer.from((repeat.prefix ?? '') + repeat.unit.repeat(repeat.count) + (repeat.suffix ?? ''))
  return null
}

function headOf(request: RecordedRequest, body: Buffer | null, port: number): string {
  const lines = [`${request.method} ${request.path} HTTP/${request.httpVersion ?? '1.1'}`]
  const host = request.headers['host'] ?? `127.0.0.1:${port}`
  if (host !== '') lines.push(`Host: ${host}`)
  if (request.headers['user-agent'] === undefined) lines.push('User-Agent: corral-replay/1')
  for (const [name, value] of Object.entries(request.headers)) if (name !== 'host') lines.push(`${name}: ${value}`)
  const pad = request.headerRepeat
  if (pad !== undefined) lines.push(`${pad.name}: ${pad.unit.repeat(pad.count)}`)
  if (body !== null && request.headers['transfer-encoding'] === undefined) lines.push(`Content-Length: ${body.length}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** One connection; exchanges follow each other on it. */
export class WireClient {
  readonly #socket: Socket
  readonly #port: number
  #bytes: Buffer = Buffer.alloc(0)
  #ended: RecordedResponse['end'] | null = null
  #wake: (() => void) | null = null

  constructor(port: number) {
    this.#port = port
    this.#socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    this.#socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#stir()
    })
    this.#socket.on('end', () => this.#finish('eof'))
    this.#socket.on('close', () => this.#finish('eof'))
    this.#socket.on('error', () => this.#finish('reset'))
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Shuts down the sending side only. */
  halfClose(): void {
    this.#socket.end()
  }

  /** Sends `request` and reads the answer; `onFrame` hears of every frame as it comes. */
  async exchange(request: RecordedRequest, onFrame?: (count: number) => void): Promise<Exchange> {
    const body = bodyOf(request)
    const guard = setTimeout(() => {
      this.#finish('timeout')
      this.#socket.destroy()
    }, patienceMs)
    this.#socket.write(headOf(request, body, this.#port))
    const draft: Draft = {
      status: 0,
      httpVersion: '',
      headers: [],
      framing: 'none',
      interim: [],
      frames: [],
      end: 'complete',
      headAlone: false,
    }
    const waits = request.headers['expect'] !== undefined
    if (!waits) this.#sendBody(request, body)
    const read = this.#read(draft, request.method, onFrame)
    if (waits) {
      await this.#until(() => draft.interim.length > 0 || draft.status >= 200)
      if (draft.interim.length > 0) this.#sendBody(request, body)
    }
    await read
    clearTimeout(guard)
    return draft
  }

  #sendBody(request: RecordedRequest, body: Buffer | null): void {
    if (body === null) return
    if (request.headers['transfer-encoding'] === undefined) this.#socket.write(body)
    else this.#socket.write(Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]))
  }

  #finish(end: RecordedResponse['end']): void {
    this.#ended ??= end
    this.#stir()
  }

  #stir(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  async #until(ready: () => boolean): Promise<boolean> {
    while (!ready()) {
      if (this.#ended !== null) return ready()
      await new Promise<void>((resolve) => {
        const before = this.#wake
        this.#wake = () => {
          before?.()
          resolve()
        }
      })
    }
    return true
  }

  async #line(): Promise<string | null> {
    let at = -1
    const found = await this.#until(() => {
      at = this.#bytes.indexOf('\r\n')
      return at >= 0
    })
    if (!found) return null
    const line = this.#bytes.subarray(0, at).toString('latin1')
    this.#bytes = this.#bytes.subarray(at + 2)
    return line
  }

  async #read(draft: Draft, method: string, onFrame?: (count: number) => void): Promise<void> {
    for (;;) {
      const headers = await this.#head(draft)
      if (headers === null) {
        draft.end = this.#ended ?? 'eof'
        return
      }
      if (draft.status >= 200) {
        draft.headers = headers
        break
      }
      draft.interim.push(draft.status)
      this.#stir()
    }
    await this.#body(draft, method, onFrame)
  }

  async #head(draft: Draft): Promise<(readonly [string, string])[] | null> {
    const line = await this.#line()
    if (line === null) return null
    const match = /^HTTP\/(\d\.\d) (\d{3})/.exec(line)
    draft.httpVersion = match?.[1] ?? ''
    draft.status = Number(match?.[2] ?? 0)
    const headers: (readonly [string, string])[] = []
    for (let next = await this.#line(); next !== null && next !== ''; next = await this.#line()) {
      const colon = next.indexOf(':')
      headers.push([next.slice(0, colon).toLowerCase(), next.slice(colon + 1).trim()])
    }
    return headers
  }

  async #body(draft: Draft, method: string, onFrame?: (count: number) => void): Promise<void> {
    const value = (name: string): string | undefined => draft.headers.find(([other]) => other === name)?.[1]
    const length = value('content-length')
    if (method === 'HEAD' || draft.status === 204) draft.framing = 'none'
    else if (value('transfer-encoding') === 'chunked') await this.#chunks(draft, onFrame)
    else if (length !== undefined) {
      draft.framing = 'length'
      const whole = await this.#until(() => this.#bytes.length >= Number(length))
      if (Number(length) > 0) draft.frames.push(this.#bytes.subarray(0, Number(length)).toString('utf8'))
      this.#bytes = this.#bytes.subarray(Number(length))
      if (!whole) draft.end = 'eof'
    } else await this.#untilClose(draft)
  }

  async #untilClose(draft: Draft): Promise<void> {
    draft.framing = 'close'
    await this.#until(() => this.#ended !== null)
    draft.frames.push(this.#bytes.toString('utf8'))
  }

  async #chunks(draft: Draft, onFrame?: (count: number) => void): Promise<void> {
    draft.framing = 'chunked'
    draft.headAlone = this.#bytes.length === 0
    for (;;) {
      const line = await this.#line()
      const size = line === null ? Number.NaN : Number.parseInt(line, 16)
      if (Number.isNaN(size) || !(await this.#until(() => this.#bytes.length >= size + 2))) {
        draft.end = this.#ended ?? 'eof'
        return
      }
      if (size > 0) draft.frames.push(this.#bytes.subarray(0, size).toString('utf8'))
      this.#bytes = this.#bytes.subarray(size + 2)
      if (size === 0) return
      onFrame?.(draft.frames.length)
    }
  }
}
