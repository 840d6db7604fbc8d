/**
 * One client connection of a mock node: finds the next request in the bytes and hands it over. It knows just
 * enough HTTP/1.1 for the gateway and the bare proxy: a length or chunks, no trailers. One request at a time;
 * bytes of a next one wait until the present one is answered.
 */
import type { Socket } from 'node:net'

export interface MockRequest {
  readonly path: string
  readonly body: Buffer
}

/** Receives each request, and the end of the connection. */
export interface MockConnectionOwner {
  onRequest(connection: MockConnection, request: MockRequest): void
  onClosed(connection: MockConnection): void
}

const headEnd = Buffer.from('\r\n\r\n')
const lastChunk = Buffer.from('0\r\n\r\n')
const lengthPattern = /\r\ncontent-length: *(\d+)/i
const chunkedPattern = /\r\ntransfer-encoding: *chunked/i
const nothing = Buffer.alloc(0)

export class MockConnection {
  readonly socket: Socket
  readonly #owner: MockConnectionOwner
  #pending: Buffer = nothing
  #isBusy = false

  constructor(socket: Socket, owner: MockConnectionOwner) {
    this.socket = socket
    this.#owner = owner
    socket.setNoDelay(true)
    socket.on('data', (bytes: Buffer) => {
      this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
      this.#next()
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => owner.onClosed(this))
  }

  /** Writes the last bytes of an answer and takes the next request. */
  finish(bytes: Buffer | string): void {
    this.#isBusy = false
    this.socket.write(bytes)
    if (this.#pending.length > 0) this.#next()
  }

  #next(): void {
    if (this.#isBusy) return
    const bytes = this.#pending
    const end = bytes.indexOf(headEnd)
    if (end < 0) return
    const head = bytes.toString('latin1', 0, end)
    const bodyStart = end + 4
    const bodyEnd = bodyEndOf(head, bytes, bodyStart)
    if (bodyEnd < 0 || bodyEnd > bytes.length) return
    this.#pending = bodyEnd === bytes.length ? nothing : bytes.subarray(bodyEnd)
    this.#isBusy = true
    const pathStart = head.indexOf(' ') + 1
    this.#owner.onRequest(this, { path: head.slice(pathStart, head.indexOf(' ', pathStart)), body: bytes.subarray(bodyStart, bodyEnd) })
  }
}

/** Where the body ends, or -1 when that is not known yet. */
function bodyEndOf(head: string, bytes: Buffer, bodyStart: number): number {
  const length = lengthPattern.exec(head)
  if (length !== null) return bodyStart + Number(length[1])
  if (!chunkedPattern.test(head)) return bodyStart
  const last = bytes.indexOf(lastChunk, bodyStart)
  return last < 0 ? -1 : last + lastChunk.length
}
