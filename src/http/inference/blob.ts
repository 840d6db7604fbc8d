/**
 * `POST /api/blobs/:digest`: the body goes straight through to the nodes, whatever its size. The client's connection is of
 * no further use when the answer comes before the body was read.
 */
import type { Readable } from 'node:stream'

import type { Call } from '../../core/call.ts'
import type { Relay, WholeAnswer } from '../../core/relay.ts'
import { condemn } from '../connection.ts'
import { PauseWatch } from '../pause-watch.ts'
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
    const { socket } = incoming
    const watched = {
      get complete() {
        return incoming.complete
      },
      socket,
      // The nodes take none.
      isHeldUp: () => incoming.isPaused(),
    }
    const watch = new PauseWatch(watched, deps.inference.clock, deps.inference.options().bodyPauseMsMax)
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
