/**
 * What one try tells its dispatcher: the reports, who hears them, and the failures that follow from a node's status or a
 * lost connection. Whose fault it was and what that costs is `settle.ts`'s; whether it is tried again is `dispatch.ts`'s.
 */
import type { ByteQueue } from '../base/byte-queue.ts'
import { CorralError, type ErrorCode } from '../core/errors.ts'
import type { RouteFacts } from '../core/route.ts'
import { type Judgement, judgeResponse } from '../wire/blame.ts'
import { errorBytesMax } from '../wire/render-error.ts'
import { withoutSignIn } from '../wire/splice.ts'
import type { ResponseHeaders, TransportError } from './transport.ts'

/** Why a try failed, and what follows from it. */
export interface Failure {
  readonly error: CorralError
  /** The node's own answer, to be passed on when nobody else can do better. */
  readonly response: NodeResponse | null
  readonly kind: Judgement['kind'] | 'connect' | 'local' | 'reset' | 'timeout' | 'protocol' | 'truncated' | 'stalled' | 'too_large'
  readonly retry: 'elsewhere' | 'never'
  /** A keep-alive race: the same node may be asked once more. */
  readonly reusedSocket: boolean
}

export interface NodeResponse {
  readonly status: number
  readonly headers: ResponseHeaders
  readonly body: Buffer
}

/** How a stream ended after its head was sent. */
export interface StreamEnd {
  readonly kind: 'ok' | 'broken' | 'client_gone' | 'client_too_slow' | 'silent'
  readonly error: CorralError | null
  /** True when the node said that its runner died. */
  readonly runnerDied?: boolean
}

/** What a try `A` tells its dispatcher. Exactly one of `onWhole`, `onFailure`, or `onFirstFrame` then `onStreamEnd`. */
export interface AttemptSink<A> {
  onFirstFrame(attempt: A, frames: ByteQueue): void
  /** The stream has run well for long enough to speak for its node. At most once, between first frame and end. */
  onProven(attempt: A): void
  onWhole(attempt: A, body: Buffer): void
  onFailure(attempt: A, failure: Failure): void
  onStreamEnd(attempt: A, end: StreamEnd): void
  /** Whether a try that is silent for longer than expected is better given up, because another node can take it. */
  shouldMove(attempt: A): boolean
}

/** The failure that a status of 400 or more means. */
export function failureOfStatus(route: RouteFacts, node: string, response: NodeResponse): Failure {
  const { status } = response
  const body = withoutSignIn(response.body)
  const judgement = judgeResponse(route, status, body.toString('utf8', 0, errorBytesMax))
  const error = new CorralError('node_failed', `${node}: ${judgement.message}`, { node, status })
  return { error, response: { ...response, body }, kind: judgement.kind, retry: judgement.retry, reusedSocket: false }
}

/** The failure that an error frame means, and whose fault it was. `begun`: frames were handed on before it. */
export function failureOfFrame(
  route: RouteFacts,
  node: string,
  { message, event, begun }: { message: string; event: 'error' | 'died'; begun: boolean },
): { readonly failure: Failure; readonly fault: Judgement['fault'] } {
  const judgement = judgeResponse(route, begun ? 200 : 500, JSON.stringify({ error: message }))
  const code: ErrorCode = judgement.fault === 'client' ? 'invalid_request' : 'node_failed'
  const error = new CorralError(code, `${node}: ${judgement.message}`, { node })
  const kind = event === 'died' ? 'runner_died' : judgement.kind
  return { failure: { error, response: null, kind, retry: judgement.retry, reusedSocket: false }, fault: judgement.fault }
}

/**
 * A node that breaks a connection sooner than this after a request has done no work for it worth counting; later it may have
 * read the prompt, and a kept connection was not closed as the request was sent.
 */
const idleResetMsMax = 1_000

/** Whether a request was lost before its node can have done much for it. `sinceMs` after it was sent, with `status` 0 before a head. */
export function isIdleLoss({ status, sinceMs }: { readonly status: number; readonly sinceMs: number }): boolean {
  return status === 0 && sinceMs <= idleResetMsMax
}

/** The failure that a connection means which broke before the first frame. `fresh`: it was an idle loss. */
export function failureOfConnection(cause: TransportError, node: string, fresh: boolean): Failure {
  const code = cause.kind === 'local' ? 'no_node' : cause.kind === 'timeout' ? 'node_timeout' : 'node_failed'
  const error = new CorralError(code, `${node}: ${cause.message}`, { node, cause })
  const kind = cause.kind === 'connect' || cause.kind === 'local' || cause.kind === 'protocol' ? cause.kind : 'reset'
  return { error, response: null, kind, retry: 'elsewhere', reusedSocket: fresh && cause.reusedSocket }
}
