/**
 * The line between the driver and the embedded Postgres: looks like a socket to `pg`, and carries the same protocol to the worker
 * thread, so that values, results and errors are the same as with a server. Login is answered here, since PGlite has none.
 * Sends to the worker whole exchanges only: what the driver wrote up to a query, a sync or a flush.
 */
import { Duplex } from 'node:stream'

/** Hands protocol bytes to the worker; resolves with the bytes of its answer. */
export type Exchange = (request: Uint8Array<ArrayBuffer>) => Promise<Uint8Array>

const queryType = 0x51
const parameterStatusType = 0x53
const syncType = 0x53
const flushType = 0x48
const copyDoneType = 0x63
const terminateType = 0x58
const exchangeEnds = new Set([queryType, syncType, flushType, copyDoneType])
const headerBytes = 5

/** AuthenticationOk, two parameters that the driver wants to know, ReadyForQuery. */
const welcome = Buffer.concat([
  Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0]),
  parameterStatus('server_encoding', 'UTF8'),
  parameterStatus('standard_conforming_strings', 'on'),
  Buffer.from([0x5a, 0, 0, 0, 5, 0x49]),
])

function parameterStatus(name: string, value: string): Buffer {
  const body = Buffer.from(`${name}\0${value}\0`)
  const head = Buffer.alloc(headerBytes)
  head.writeUInt8(parameterStatusType)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

type Done = (error?: Error | null) => void

/** A `Duplex` in the shape of a `net.Socket`, as far as `pg` uses one. */
export class EmbeddedStream extends Duplex {
  readonly #exchange: Exchange
  #hasGreeted = false
  #held: Buffer[] = []

  constructor(exchange: Exchange) {
    super({ allowHalfOpen: false })
    this.#exchange = exchange
  }

  connect(): this {
    queueMicrotask(() => this.emit('connect'))
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  override _read(): void {}

  /** What was written in one go is one exchange. */
  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: Done): void {
    this.#take(Buffer.concat(chunks.map(({ chunk }) => chunk)), done)
  }

  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    this.#take(chunk, done)
  }

  #take(chunk: Buffer, done: Done): void {
    if (!this.#hasGreeted) {
      this.#hasGreeted = true
      this.push(welcome)
      done()
      return
    }
    this.#held.push(chunk)
    const last = lastMessageType(chunk)
    if (last === terminateType) {
      this.push(null)
      done()
    } else if (exchangeEnds.has(last)) {
      void this.#send(done)
    } else done()
  }

  async #send(done: Done): Promise<void> {
    const bytes = Buffer.concat(this.#held)
    this.#held = []
    try {
      const answer = await this.#exchange(new Uint8Array(bytes))
      this.push(Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength))
      done()
    } catch (error) {
      done(error instanceof Error ? error : new Error('the embedded database is gone', { cause: error }))
    }
  }
}

/** Type of the last message in `chunk`, which holds whole messages, since the driver writes each at once. */
function lastMessageType(chunk: Buffer): number {
  let offset = 0
  let type = 0
  while (offset + headerBytes <= chunk.length) {
    type = chunk.readUInt8(offset)
    offset += 1 + chunk.readInt32BE(offset + 1)
  }
  return type
}
