/**
 * Keeps a client that waits for a stream from giving up: after a delay the plain 200 head goes out, then single spaces
 * (NDJSON) or comments (SSE). Both are harmless to every known client; blank lines are not (ollama-contract-verified.md §m).
 * Retries stay possible all the while; once the head is out an error must go in band.
 */
import type { ServerResponse } from 'node:http'

import type { Clock, Timer } from '../../base/clock.ts'
import type { Framing } from '../../core/route.ts'
import { keepAliveBytes } from '../../wire/render-error.ts'

export interface EarlyHeadOptions {
  readonly clock: Clock
  readonly afterMs: number
  readonly everyMs: number
  /** Headers of the head, asked for at the moment it goes out (place in the queue, ETA). */
  readonly headers: () => Record<string, string>
}

const contentTypes: Readonly<Record<Exclude<Framing, 'none'>, string>> = {
  ndjson: 'application/x-ndjson',
  sse: 'text/event-stream',
}

export class EarlyHead {
  readonly #outgoing: ServerResponse
  readonly #framing: Exclude<Framing, 'none'>
  readonly #options: EarlyHeadOptions
  #timer: Timer | null
  sent = false

  constructor(outgoing: ServerResponse, framing: Exclude<Framing, 'none'>, options: EarlyHeadOptions) {
    this.#outgoing = outgoing
    this.#framing = framing
    this.#options = options
    this.#timer = options.clock.after(options.afterMs, this.#beat)
  }

  readonly #beat = (): void => {
    if (this.#outgoing.destroyed) return
    if (!this.sent) {
      this.sent = true
      const type = contentTypes[this.#framing]
      this.#outgoing.writeHead(200, { 'content-type': type, 'x-accel-buffering': 'no', ...this.#options.headers() })
    }
    this.#outgoing.write(keepAliveBytes(this.#framing))
    this.#timer = this.#options.clock.after(this.#options.everyMs, this.#beat)
  }

  /** The answer is here: no further byte from this side. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }
}
