/**
 * The relay layer that records: it wraps the whole chain, counts what is under way, and writes one record per request at the
 * true end of its answer, whether that is a body in hand, the last frame of a stream, or a failure. It changes nothing and
 * a failure of its own cannot reach the answer.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { toCorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, RelayLayer } from '../core/relay.ts'
import type { EndedRequest, Observer } from './events.ts'

/** The layer; `clock` gives the time of the first frame. */
export function recorded(observer: Observer, clock: Clock): RelayLayer {
  return (next) => (request, call) => {
    observer.requestStarted()
    const answered = next(request, call)
    const fail = (thrown: unknown): void => observer.requestEnded(failedRequest(request, call, thrown))
    answered.then((answer) => {
      if (answer.kind === 'whole') {
        observer.requestEnded(endedRequest(request, call, { answer, outcome: answer.outcome, firstFrameAtMs: null }))
        return
      }
      const firstFrameAtMs = clock.nowMs()
      answer.outcome.then((outcome) => observer.requestEnded(endedRequest(request, call, { answer, outcome, firstFrameAtMs })), fail)
    }, fail)
    return answered
  }
}

interface End {
  readonly answer: Answer
  readonly outcome: Outcome
  readonly firstFrameAtMs: number | null
}

function endedRequest({ route, method, model }: InferenceRequest, call: Call, { answer, outcome, firstFrameAtMs }: End): EndedRequest {
  const { node, reason, attempts } = answer.provenance
  const bytes = answer.kind === 'whole' && outcome.bytes === 0 ? answer.body.length : outcome.bytes
  const stream = answer.kind === 'stream'
  return { facts: route, method, model, call, status: answer.status, stream, outcome, bytes, node, reason, attempts, firstFrameAtMs }
}

function failedRequest({ route, method, model }: InferenceRequest, call: Call, thrown: unknown): EndedRequest {
  const error = toCorralError(thrown)
  return {
    facts: route,
    method,
    model,
    call,
    status: error.status,
    stream: false,
    outcome: { kind: 'rejected', usage: null, frames: 0, bytes: 0, error },
    bytes: 0,
    node: error.node ?? call.progress.node,
    reason: null,
    attempts: call.progress.attempts,
    firstFrameAtMs: null,
  }
}
