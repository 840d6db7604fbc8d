/**
 * `POST /api/blobs/:digest`: the body goes straight through to the nodes, whatever its size. The client's connection is of
 * no further use when the answer comes before the body was read.
 */
import type { Readable } from 'node:stream'

import type { Call } from '../../core/call.ts'
import type { Relay, WholeAnswer } from '../../core/relay.ts'
import { forwardHeaders } from '../../wire/request-headers.ts'
import { type Exchange, type InferenceDeps, runExchange } from './handler.ts'

export interface BlobDeps {
  readonly inference: InferenceDeps
  /** Puts the relay's layers around the upload. */
  readonly layered: (innermost: Relay) => Relay
  readonly upload: (
    upload: { readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly source: Readable },
    call: Call,
  ) => Promise<WholeAnswer>
}

/** Answers one upload; never rejects. */
export function handleBlobUpload(deps: BlobDeps, exchange: Exchange): Promise<void> {
  const { incoming, outgoing, path } = exchange
  const relay: Relay = async (_request, call) => {
    const answer = await deps.upload({ path, headers: forwardHeaders(incoming.headers), source: incoming }, call)
    if (!incoming.complete) outgoing.setHeader('connection', 'close')
    return answer
  }
  return runExchange(deps.inference, exchange, { readsBody: false, relay: deps.layered(relay) })
}
