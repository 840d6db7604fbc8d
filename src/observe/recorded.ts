/**
 * The relay layer that records: it wraps the whole chain, counts what is under way, and writes one record per request at the
 * true end of its answer, whether that is a body in hand, the last frame of a stream, or a failure. It changes nothing and
 * a failure of its own cannot reach the answer.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { toCorralError } from '../core/errors.ts'
import type { Answer, Outcome, RelayLayer } from '../core/relay.ts'
import type { EndedRequest, Observer } from './events.ts'

/** The layer; `clock` gives the time of the first frame. */
export function recorded(observer: Observer, clock: Clock): RelayLayer {
  return (next) => (request, call) => {
    observer.requestStarted()
    const known = { facts: request.route, method: request.method, model: request.model, call }
    const fail = (thrown: unknown): void => observer.requestEnded({ ...known, ...failureFacts(thrown, call) })
    const answered = next(request, call)
    answered.then((answer) => {
      if (answer.kind === 'whole') {
        observer.requestEnded({ ...known, ...answerFacts(answer, answer.outcome), firstFrameAtMs: null })
        return
      }
      const firstFrameAtMs = clock.nowMs()
      answer.outcome.then((outcome) => observer.requestEnded({ ...known, ...answerFacts(answer, outcome), firstFrameAtMs }), fail)
    }, fail)
    return answered
  }
}

type EndFacts = Omit<EndedRequest, 'facts' | 'method' | 'model' | 'call'>

function answerFacts(answer: Answer, outcome: Outcome): Omit<EndFacts, 'firstFrameAtMs'> {
  const { node, reason, attempts } = answer.provenance
  const counted = answer.kind === 'whole' && outcome.bytes === 0 ? { ...outcome, bytes: answer.body.length } : outcome
  return { status: answer.status, stream: answer.kind === 'stream', outcome: counted, node, reason, attempts }
}

function failureFacts(thrown: unknown, call: Call): EndFacts {
  const error = toCorralError(thrown)
  return {
    status: error.status,
    stream: false,
    outcome: { kind: 'rejected', usage: null, frames: 0, bytes: 0, error },
    node: error.node ?? call.progress.node,
    reason: null,
    attempts: call.progress.attempts,
    firstFrameAtMs: null,
  }
}
