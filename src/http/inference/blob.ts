/**
 * `POST /api/blobs/:digest`: the body goes straight through to the nodes, whatever its size. The client's connection is of
 * no further use when the answer comes before the body was read.
 */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'

import type { Clock, Timer } from '../../base/clock.ts'
import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'
import type { Relay, WholeAnswer } from '../../core/relay.ts'
import { condemn } from '../connection.ts'
import type { Exchange, InferenceDeps } from './exchange.ts'
import { handleUnread } from './handler.ts'

export interface BlobDeps {
  readonly inference: InferenceDeps
  /** Puts the relay's layers around the upload. */
  readonly layered: (innermost: Relay) => Relay
  readonly upload: (
    upload: { readonly path: string; readonly headers: readonly string[]; readonly source: Readable },
    call: Call,
  ) => Promise<WholeAnswer>
}

/** Answers one upload. */
export function handleBlobUpload(deps: BlobDeps, exchange: Exchange): void {
  const { incoming, outgoing, headers, path } = exchange
  const relay: Relay = async (_request, call) => {
    const watch = new PauseWatch(incoming, deps.inference.clock, deps.inference.options().bodyPauseMsMax)
    try {
      const upload = deps.upload({ path, headers: headers.forwarded, source: incoming }, call)
      const answer = await Promise.race([upload, watch.broken])
      if (!incoming.complete) condemn(incoming, outgoing)
      return answer
    } finally {
      watch.stop()
    }
  }
  handleUnread(deps.inference, exchange, deps.layered(relay))
}

/** Ends an upload in which no byte moves for one to two pauses: the client sends none, or a node takes none. */
class PauseWatch {
  /** Rejects when the upload stands still; never resolves. */
  readonly broken: Promise<never>
  readonly #source: IncomingMessage
  readonly #clock: Clock
  readonly #pauseMsMax: number
  #bytesRead: number
  #timer: Timer
  #reject: (error: CorralError) => void = () => undefined

  constructor(source: IncomingMessage, clock: Clock, pauseMsMax: number) {
    this.#source = source
    this.#clock = clock
    this.#pauseMsMax = pauseMsMax
    this.#bytesRead = source.socket.bytesRead
    this.broken = new Promise((_, reject) => {
      this.#reject = reject
    })
    this.#timer = clock.after(pauseMsMax, this.#check)
  }

  stop(): void {
    this.#timer.cancel()
  }

  readonly #check = (): void => {
    const { bytesRead } = this.#source.socket
    if (this.#source.complete) return
    if (bytesRead === this.#bytesRead) {
      this.#reject(new CorralError('body_timeout', `no byte of the upload moved for ${this.#pauseMsMax} ms`))
      return
    }
    this.#bytesRead = bytesRead
    this.#timer = this.#clock.after(this.#pauseMsMax, this.#check)
  }
}
