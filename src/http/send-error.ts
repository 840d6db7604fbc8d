/** Writes an error in the dialect of its route, as a response of its own. */
import type { ServerResponse } from 'node:http'

import type { CorralError } from '../core/errors.ts'
import type { Dialect } from '../core/route.ts'
import { renderError } from '../wire/render-error.ts'

/** Answers with `error` unless a head went out already or the client is gone. */
export function sendError(outgoing: ServerResponse, dialect: Dialect, error: CorralError, requestId: string): void {
  if (outgoing.headersSent || outgoing.destroyed) return
  const { status, headers, body } = renderError(dialect, error, requestId)
  outgoing.writeHead(status, { ...headers, 'x-request-id': requestId, 'content-length': String(body.length) })
  outgoing.end(body)
}
