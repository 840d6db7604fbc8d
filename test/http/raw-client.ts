/** A client that sends bytes as they are, and reads answers without judging them. */
import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  readonly version: string
  /** Lower-case names; repeated ones joined by a comma. */
  readonly headers: Readonly<Record<string, string>>
  /** The body, chunks joined. */
  readonly body: string
}

/** One connection. `answer` waits for the next whole answer on it. */
export class RawClient {
  readonly socket: Socket
  readonly closed: Promise<void>
  #bytes = Buffer.alloc(0)
  #ended = false
  #wake: (() => void) | null = null

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#wake?.()
    })
    socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => {
      const end = (): void => {
        this.#ended = true
        this.#wake?.()
        resolve()
      }
      socket.on('end', end)
      socket.on('close', end)
    })
  }

  static open(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
      socket.once('connect', () => resolve(new RawClient(socket)))
      socket.once('error', reject)
    })
  }

  /** Text is sent as latin1, so `\xff` is one byte. */
  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    return this
  }

  /** Everything received and not yet taken, as latin1. */
  get text(): string {
    return this.#bytes.toString('latin1')
  }

  /** The next answer. `head`: the request was HEAD. Rejects when the connection ends before an answer. */
  async answer({ head = false } = {}): Promise<RawAnswer> {
    for (;;) {
      const parsed = parseAnswer(this.#bytes, { head, ended: this.#ended })
      if (parsed !== null) {
        this.#bytes = this.#bytes.subarray(parsed.end)
        return parsed.answer
      }
      if (this.#ended) throw new Error(`connection ended after ${JSON.stringify(this.text.slice(0, 300))}`)
      await this.more()
    }
  }

  /** Resolves with the next bytes or the end. */
  more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  async until(text: string): Promise<void> {
    while (!this.text.includes(text)) {
      if (this.#ended) throw new Error(`ended without ${text}: ${this.text.slice(0, 300)}`)
      await this.more()
    }
  }

  destroy(): void {
    this.socket.destroy()
  }
}

interface Parsed {
  readonly answer: RawAnswer
  readonly end: number
}

function parseAnswer(bytes: Buffer, { head, ended }: { head: boolean; ended: boolean }): Parsed | null {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return null
  const [first = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n')
  const [version = '', status = ''] = first.split(' ')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  const body = bodyOf(bytes.subarray(headEnd + 4), { headers, bodiless: head || status === '204' || status.startsWith('1'), ended })
  if (body === null) return null
  return { answer: { status: Number(status), version, headers, body: body.text }, end: headEnd + 4 + body.length }
}

interface Framing {
  readonly headers: Readonly<Record<string, string>>
  readonly bodiless: boolean
  readonly ended: boolean
}

function bodyOf(rest: Buffer, { headers, bodiless, ended }: Framing): { text: string; length: number } | null {
  if (bodiless) return { text: '', length: 0 }
  const declared = headers['content-length']
  if (declared !== undefined) {
    const length = Number(declared)
    return rest.length < length ? null : { text: rest.toString('utf8', 0, length), length }
  }
  if (headers['transfer-encoding'] === 'chunked') return dechunk(rest)
  return ended ? { text: rest.toString(), length: rest.length } : null
}

function dechunk(rest: Buffer): { text: string; length: number } | null {
  const parts: Buffer[] = []
  let at = 0
  for (;;) {
    const lineEnd = rest.indexOf('\r\n', at)
    if (lineEnd < 0) return null
    const size = Number.parseInt(rest.toString('latin1', at, lineEnd), 16)
    const start = lineEnd + 2
    if (rest.length < start + size + 2) return null
    parts.push(rest.subarray(start, start + size))
    at = start + size + 2
    if (size === 0) return { text: Buffer.concat(parts).toString(), length: at }
  }
}

/** Sends `bytes` on a new connection and reads one answer. */
export async function exchange(
  port: number,
  bytes: string | Buffer,
  options: { head?: boolean } = {},
): Promise<RawAnswer & { closed: boolean }> {
  const client = await RawClient.open(port)
  try {
    const answer = await client.send(bytes).answer(options)
    const closes = answer.headers['connection']?.toLowerCase() === 'close'
    return { ...answer, closed: closes }
  } finally {
    client.destroy()
  }
}
