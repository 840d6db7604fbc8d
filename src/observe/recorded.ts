/**
 * The relay layer that records: it wraps the whole chain, counts what is under way, and writes one record per request at the
 * true end of its answer, whether that is a body in hand, the last frame of a stream, or a failure. It changes nothing and
 * a failure of its own cannot reach the answer.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { toCorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, RelayLayer } from '../core/relay.ts'
import type { Observer } from './observer.ts'

/** The layer; `clock` gives the time of the first frame. */
export function recorded(observer: Observer, clock: Clock): RelayLayer {
  return (next) => async (request, call) => {
    observer.requestStarted()
    let answer: Answer
    try {
      answer = await next(request, call)
    } catch (thrown) {
      recordFailure(observer, request, call, thrown)
      throw thrown
    }
    if (answer.kind === 'whole') {
      record(observer, request, call, { answer, outcome: answer.outcome, firstFrameAtMs: null })
      return answer
    }
    const stream = answer
    const firstFrameAtMs = clock.nowMs()
    void stream.outcome.then(
      (outcome) => record(observer, request, call, { answer: stream, outcome, firstFrameAtMs }),
      (thrown: unknown) => recordFailure(observer, request, call, thrown),
    )
    return answer
  }
}

function record(
  observer: Observer,
  request: InferenceRequest,
  call: Call,
  { answer, outcome, firstFrameAtMs }: { answer: Answer; outcome: Outcome; firstFrameAtMs: number | null },
): void {
  const { node, reason, attempts } = answer.provenance
  observer.requestEnded({
    facts: request.route,
    method: request.method,
    model: request.model,
    call,
    status: answer.status,
    stream: answer.kind === 'stream',
    outcome: answer.kind === 'whole' && outcome.bytes === 0 ? { ...outcome, bytes: answer.body.length } : outcome,
    node,
    reason,
    attempts,
    firstFrameAtMs,
  })
}

function recordFailure(observer: Observer, request: InferenceRequest, call: Call, thrown: unknown): void {
  const error = toCorralError(thrown)
  observer.requestEnded({
    facts: request.route,
    method: request.method,
    model: request.model,
    call,
    status: error.status,
    stream: false,
    outcome: { kind: 'rejected', usage: null, frames: 0, bytes: 0, error },
    node: error.node ?? call.progress.node,
    reason: null,
    attempts: call.progress.attempts,
    firstFrameAtMs: null,
  })
}
