/** Writes an error in the dialect of its route, as a response of its own. */
import type { CorralError } from '../core/errors.ts'
import type { Dialect } from '../core/route.ts'
import { renderError } from '../wire/render-error.ts'
import { answerUnread, type Exchange } from './connection.ts'

/** Answers with `error` unless a head went out already or the client is gone. */
export function sendError(exchange: Exchange, dialect: Dialect, error: CorralError, requestId: string): void {
  const { status, headers, body } = renderError(dialect, error, requestId)
  answerUnread(exchange, { status, headers: { ...headers, 'x-request-id': requestId }, body })
}
