/**
 * What the gateway and its parser process say to each other: frames of 4 bytes length, 1 byte kind and a payload, over stdin and stdout.
 * The gateway trusts nothing that comes back: lengths are capped here, contents are checked in `parsed-frames.ts`.
 */

/** Request: `open` (JSON), `data`*, `end`. Answer: `ready` once; then `text`*, `blocks`*, `done` (JSON), or `failed` (JSON). */
export type FrameKind = 'open' | 'data' | 'end' | 'ready' | 'text' | 'blocks' | 'done' | 'failed'

export interface Frame {
  readonly kind: FrameKind
  readonly payload: Buffer
}

export const framePayloadBytesMax = 1_048_576
const headBytes = 5
const kinds: readonly FrameKind[] = ['open', 'data', 'end', 'ready', 'text', 'blocks', 'done', 'failed']

/** One frame as it goes over the pipe. The payload is at most `framePayloadBytesMax` long. */
export function frameBytes(kind: FrameKind, payload: Uint8Array | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload
  if (body.length > framePayloadBytesMax) throw new Error(`a ${kind} frame of ${body.length} bytes is too long`)
  const bytes = Buffer.allocUnsafe(headBytes + body.length)
  bytes.writeUInt32BE(body.length, 0)
  bytes.writeUInt8(kinds.indexOf(kind), 4)
  bytes.set(body, headBytes)
  return bytes
}

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #chunks: Buffer[] = []
  #length = 0

  /** The frames that are complete with `chunk`. Throws on a length or a kind that no frame has. */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk)
    this.#length += chunk.length
    const frames: Frame[] = []
    for (let frame = this.#take(); frame !== null; frame = this.#take()) frames.push(frame)
    return frames
  }

  #take(): Frame | null {
    if (this.#length < headBytes) return null
    const first = this.#chunks[0]
    if (first === undefined) return null
    if (first.length < headBytes) this.#chunks = [Buffer.concat(this.#chunks)]
    const head = this.#chunks[0] ?? first
    const length = head.readUInt32BE(0)
    const kind = kinds[head.readUInt8(4)]
    if (length > framePayloadBytesMax || kind === undefined) throw new Error('what the parser process sent is no frame')
    if (this.#length < headBytes + length) return null
    const all = this.#chunks.length === 1 ? head : Buffer.concat(this.#chunks)
    const end = headBytes + length
    const rest = all.subarray(end)
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#length = rest.length
    return { kind, payload: all.subarray(headBytes, end) }
  }
}
