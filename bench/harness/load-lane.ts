/**
 * One connection of a load driver: sends a request, judges its answer, says how it ended. A stream is `ok` only
 * when every frame came in order and the last said done; an end without that is `truncated-silent`, a broken
 * connection after the head is `truncated-visible`.
 */
import { connect } from 'node:net'
import type { Socket } from 'node:net'

import { causeOf } from './failure-cause.ts'
import type { LoadRecorder } from './load-recorder.ts'
import { monotonicUs } from './monotonic.ts'
import { ResponseReader } from './response-reader.ts'
import type { ResponseListener } from './response-reader.ts'

export interface LaneOwner {
  readonly recorder: LoadRecorder
  onLaneFree(lane: LoadLane, kind: string): void
}

const cachePattern = /\r\nx-corral-cache: *([a-z]+)/
const doneMarks = ['"done":true', '"finish_reason":"stop"', '"embeddings":', '{"results":']
const stampPattern = /"content":"(\d+) (\d+)"/g

export class LoadLane implements ResponseListener {
  readonly #port: number
  readonly #owner: LaneOwner
  #socket: Socket | undefined
  #isBusy = false
  #sentUs = 0
  #status = 0
  #framesSeen = 0
  #isDone = false
  #isBroken = false
  #hasRetryAfter = false
  #errorText = ''
  #cache: string | undefined
  #bytes = 0

  constructor(port: number, owner: LaneOwner) {
    this.#port = port
    this.#owner = owner
  }

  get isBusy(): boolean {
    return this.#isBusy
  }

  get isConnected(): boolean {
    return this.#socket !== undefined
  }

  get sentUs(): number {
    return this.#sentUs
  }

  /** Sends `request`; `dueUs` is the moment its latency counts from. */
  send(request: string, dueUs: number): void {
    this.#isBusy = true
    this.#sentUs = dueUs
    this.#status = 0
    this.#framesSeen = 0
    this.#isDone = false
    this.#isBroken = false
    this.#hasRetryAfter = false
    this.#errorText = ''
    this.#cache = undefined
    this.#bytes = 0
    const socket = this.#socket ?? this.#open()
    socket.write(request, 'latin1')
  }

  /** Drops the connection; a request under way ends as `kind`. */
  abandon(kind: string): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
    if (this.#isBusy) this.#end(kind)
  }

  onHead(status: number, head: string): void {
    this.#status = status
    this.#cache = cachePattern.exec(head)?.[1]
    this.#hasRetryAfter = status !== 200 && head.includes('\r\nretry-after:')
  }

  onData(text: string): void {
    // Latin-1: one character is one byte.
    this.#bytes += text.length
    // Embeddings and searches have no other mark; their length tells when they are whole.
    if (doneMarks.some((mark) => text.includes(mark))) this.#isDone = true
    const isError = text.includes('"error"')
    if (isError) this.#isBroken = true
    if (isError || this.#status !== 200) this.#errorText = text
    for (const [, index, stampUs] of text.matchAll(stampPattern)) this.#onFrame(Number(index), Number(stampUs))
  }

  onEnd(willClose: boolean): void {
    if (willClose) {
      this.#socket?.destroy()
      this.#socket = undefined
    }
    this.#end(this.#verdict())
  }

  #onFrame(index: number, stampUs: number): void {
    const nowUs = monotonicUs()
    if (index !== this.#framesSeen) this.#isBroken = true
    if (this.#framesSeen === 0) this.#owner.recorder.onFirstFrame((nowUs - this.#sentUs) / 1_000)
    this.#framesSeen += 1
    this.#owner.recorder.onFrame((nowUs - stampUs) / 1_000)
  }

  #verdict(): string {
    if (this.#status !== 200) return `http-${this.#status}`
    if (this.#isBroken) return 'in-band-error'
    return this.#isDone ? 'ok' : 'truncated-silent'
  }

  #end(kind: string): void {
    this.#isBusy = false
    const latencyMs = (monotonicUs() - this.#sentUs) / 1_000
    this.#owner.recorder.onEnd(kind, latencyMs)
    if (this.#cache !== undefined && kind === 'ok') this.#owner.recorder.onCache(this.#cache, latencyMs, this.#bytes)
    if (kind !== 'ok') {
      const isRetryAfterMissing = (this.#status === 503 || this.#status === 429) && !this.#hasRetryAfter
      this.#owner.recorder.onFailure(causeOf(kind, this.#errorText), { isBeforeFirstFrame: this.#framesSeen === 0, isRetryAfterMissing })
    }
    this.#owner.onLaneFree(this, kind)
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    const reader = new ResponseReader(this)
    let isOpen = false
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('connect', () => (isOpen = true))
    socket.on('data', (text: string) => {
      if (this.#socket === socket) reader.feed(text)
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      if (this.#isBusy) this.#end(isOpen ? this.#brokenKind() : 'refused')
    })
    return socket
  }

  #brokenKind(): string {
    return this.#status === 0 ? 'reset' : 'truncated-visible'
  }
}
