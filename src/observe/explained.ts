/**
 * The explanations of the last requests that asked for one: a ring in memory, of this process, and the relay layer that notes how
 * each call ended. For a request that did not ask the layer is one comparison.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { toCorralError } from '../core/errors.ts'
import { type AnswerStep, Explanation, type TimedStep } from '../core/explanation.ts'
import type { Answer, InferenceRequest, Outcome, RelayLayer } from '../core/relay.ts'

/** Some kilobytes each: a person who asks why looks at once. */
const keptMax = 256

export interface ExplainedRequest {
  readonly id: string
  readonly tenant: string
  readonly subject: string | null
  readonly receivedAt: string
  /** False: it is still under way. */
  readonly done: boolean
  readonly steps: readonly TimedStep[]
  /** Steps that were too many to keep. */
  readonly stepsDropped: number
}

/** Not the call itself: what hangs on it would stay in memory. */
interface Kept {
  readonly tenant: string
  readonly subject: string | null
  readonly explanation: Explanation
  readonly receivedAt: string
}

export class Explanations {
  readonly #kept = new Map<string, Kept>()
  readonly #clock: Clock
  readonly #onDone: (explained: ExplainedRequest) => void

  /** `onDone`: hears of each explanation that is complete. */
  constructor(clock: Clock, onDone: (explained: ExplainedRequest) => void = () => undefined) {
    this.#clock = clock
    this.#onDone = onDone
  }

  /** For a call that asks why. The oldest one is forgotten. */
  begin(call: Call): Explanation {
    const explanation = new Explanation(call.receivedAtMs)
    const { tenant, principal } = call
    this.#kept.set(call.id, { tenant, subject: principal.subject, explanation, receivedAt: new Date(this.#clock.wallMs()).toISOString() })
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > keptMax && oldest !== undefined) this.#kept.delete(oldest)
    return explanation
  }

  /** Null: it never asked, or is forgotten. */
  find(id: string): ExplainedRequest | null {
    const kept = this.#kept.get(id)
    if (kept === undefined) return null
    const { tenant, subject, explanation, receivedAt } = kept
    const { done, steps, dropped } = explanation
    return { id, tenant, subject, receivedAt, done, steps, stepsDropped: dropped }
  }

  /** Stands outside of all that may answer. */
  readonly layer: RelayLayer = (next) => (request, call) => {
    const { explanation } = call
    return explanation === null ? next(request, call) : this.#watch(next(request, call), { explanation, request, call })
  }

  #watch(
    answered: Promise<Answer>,
    { explanation, request, call }: { readonly explanation: Explanation; readonly request: InferenceRequest; readonly call: Call },
  ): Promise<Answer> {
    const end = (step: AnswerStep): void => {
      explanation.note(step, this.#clock.nowMs())
      // A call made on the way has an id of its own.
      if (this.#kept.get(call.id)?.explanation !== explanation) return
      explanation.done = true
      const explained = this.find(call.id)
      if (explained !== null) this.#onDone(explained)
    }
    const fail = (thrown: unknown): void => end(failedStep(request, call, thrown))
    answered.then((answer) => {
      if (answer.kind === 'whole') end(answeredStep(request, call, { answer, outcome: answer.outcome }))
      else answer.outcome.then((outcome) => end(answeredStep(request, call, { answer, outcome })), fail)
    }, fail)
    return answered
  }
}

function answeredStep(request: InferenceRequest, call: Call, { answer, outcome }: { answer: Answer; outcome: Outcome }): AnswerStep {
  const { error, usage } = outcome
  return {
    ...stepOf(request, call),
    status: answer.status,
    outcome: outcome.kind,
    error: error === null ? null : { code: error.code, message: error.message },
    node: answer.provenance.node,
    cache: cacheOf(call.progress.bypassHeaders ?? answer.headers),
    loadMs: usage?.loadMs ?? null,
    promptMs: usage?.promptMs ?? null,
    outputMs: usage?.outputMs ?? null,
    promptTokens: usage?.promptTokens ?? null,
    outputTokens: usage?.outputTokens ?? null,
  }
}

function failedStep(request: InferenceRequest, call: Call, thrown: unknown): AnswerStep {
  const error = toCorralError(thrown)
  return {
    ...stepOf(request, call),
    status: error.status,
    outcome: 'rejected',
    error: { code: error.code, message: error.message },
    node: error.node ?? call.progress.node,
    cache: cacheOf(call.progress.bypassHeaders ?? {}),
    loadMs: null,
    promptMs: null,
    outputMs: null,
    promptTokens: null,
    outputTokens: null,
  }
}

function stepOf({ route, model }: InferenceRequest, { id }: Call): Pick<AnswerStep, 'kind' | 'call' | 'route' | 'model'> {
  return { kind: 'answer', call: id, route: route.pattern, model }
}

/** What the answer's own headers say of the cache. */
function cacheOf(headers: Answer['headers']): AnswerStep['cache'] {
  const { 'x-corral-cache': outcome, 'cache-status': status } = headers
  return typeof outcome === 'string' && typeof status === 'string' ? { outcome, status } : null
}
