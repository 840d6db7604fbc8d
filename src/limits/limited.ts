/**
 * The relay layer that limits. It asks the limiter before anything goes to a node, and settles what was reserved exactly once, at
 * the true end of the answer. A denial is a `CorralError` with `Retry-After`, spread by jitter so that denied clients do not come
 * back together (F64). A caller without limits costs one look-up.
 */
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, Relay, RelayLayer } from '../core/relay.ts'
import { addLimitHeaders } from './headers.ts'
import type { Decision, Limiter, Reservation } from './limiter.ts'
import type { LimitsOptions } from './options.ts'
import type { Plan, PlanBook, Scope } from './plan.ts'
import { PromptLearning } from './prompt-learning.ts'
import { tokenCost, tokensToReserve, tokensUsed } from './token-cost.ts'
import type { Denied, OverBudget, OverLimit, Standings } from './verdict.ts'

export interface LimitedDeps {
  readonly options: () => LimitsOptions
  /** The plans of the options in force. */
  readonly book: () => PlanBook
  readonly limiter: Limiter
  /** In [0, 1). */
  readonly random: () => number
  /** Told of every denial, for metrics and the audit log. */
  readonly onDenied?: (call: Call, denial: { readonly dimension: Denied['dimension']; readonly scope: Scope }) => void
}

interface Admission {
  readonly request: InferenceRequest
  readonly call: Call
  readonly next: Relay
  readonly plan: Plan
  readonly tokens: number
}

/** The layer; put it outside the caches, so that a cached answer costs a request but no tokens. */
export function limited(deps: LimitedDeps): RelayLayer {
  const gate = new Gate(deps)
  return (next) => (request, call) => {
    const plan = gate.planFor(request, call)
    return plan === null ? next(request, call) : gate.pass(next, request, { call, plan })
  }
}

class Gate {
  readonly #deps: LimitedDeps
  readonly #prompts = new PromptLearning()

  constructor(deps: LimitedDeps) {
    this.#deps = deps
  }

  /** Null when nothing limits the call. */
  planFor(request: InferenceRequest, call: Call): Plan | null {
    return this.#deps.options().enabled ? this.#deps.book().planFor(call.principal, request.model) : null
  }

  async pass(next: Relay, request: InferenceRequest, { call, plan }: { call: Call; plan: Plan }): Promise<Answer> {
    const admission: Admission = { request, call, next, plan, tokens: plan.countsTokens ? this.#tokensOf(request, call, plan) : 0 }
    const decided = this.#deps.limiter.admit(plan, call.id, admission.tokens)
    return this.#run(admission, decided instanceof Promise ? await decided : decided)
  }

  #tokensOf(request: InferenceRequest, { tenant }: Call, { meters }: Plan): number {
    const { model, envelope } = request
    const cost = tokenCost(request, this.#deps.options().outputTokensAssumed, () =>
      this.#prompts.tokensMax(promptsOf(tenant, model), envelope.promptSize),
    )
    let limit = Infinity
    for (const { tokensPerMinute } of meters) limit = Math.min(limit, tokensPerMinute ?? Infinity)
    return tokensToReserve(cost, limit)
  }

  async #run({ request, call, next, plan, tokens }: Admission, { verdict, reservation }: Decision): Promise<Answer> {
    if (!verdict.admitted) throw this.#denial(verdict, call, tokens)
    let answer: Answer
    try {
      answer = await next(request, call)
    } catch (error) {
      reservation?.settle(0)
      throw error
    }
    settleAtEnd(answer, reservation, (outcome) => {
      if (plan.countsTokens) this.#learn(request, call, outcome)
      return tokensUsed(request, tokens, outcome)
    })
    return withHeaders(answer, verdict.standings)
  }

  #learn({ model, envelope, route }: InferenceRequest, { tenant }: Call, { usage, cached, kind }: Outcome): void {
    const tokens = usage?.promptTokens ?? null
    if (kind !== 'ok' || cached === true || tokens === null || envelope.empty || bringsMore(envelope)) return
    const size = envelope.promptSize
    const whose = promptsOf(tenant, model)
    // Of a batch some texts may come from the cache: what was computed says how much it is at least.
    if (route.operation === 'embed' && tokens <= this.#prompts.tokensMax(whose, size)) return
    this.#prompts.observe(whose, size, tokens)
  }

  #denial(denied: Denied, call: Call, tokens: number): CorralError {
    const scope = denied.dimension === 'gpu' ? denied.spent.scope : denied.meter.scope
    this.#deps.onDenied?.(call, { dimension: denied.dimension, scope })
    return denied.dimension === 'gpu' ? this.#overBudget(denied) : this.#overLimit(denied, tokens)
  }

  #overBudget({ spent: { scope, period, limitSeconds, resetMs } }: OverBudget): CorralError {
    return new CorralError('budget_exhausted', `the ${scope}'s budget of ${limitSeconds} GPU seconds per ${period} is used up`, {
      retryAfterMs: resetMs + this.#deps.random() * budgetSpreadMs,
    })
  }

  #overLimit(denied: OverLimit, tokens: number): CorralError {
    const { waitMs, standings } = denied
    const headers: Record<string, string> = {}
    addLimitHeaders(headers, standings)
    const retryAfterMs = Number.isFinite(waitMs) ? waitMs + this.#deps.random() * spreadMs(waitMs) : undefined
    return new CorralError('rate_limited', denialText(denied, tokens), { headers, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
  }
}

function promptsOf(tenant: string, model: string | null): string {
  return `${tenant}\0${model ?? ''}`
}

/** Whether the prompt has tokens that its size does not tell of: those of `/api/generate`'s `context`, and what a template of its own makes of it. */
function bringsMore({ fields }: InferenceRequest['envelope']): boolean {
  const template = fields.get('template')
  return fields.has('context') || (template !== undefined && template.end - template.start > emptyTextBytes)
}

const emptyTextBytes = 2
const budgetSpreadMs = 60_000

/** Denied clients are spread over a quarter of their wait, and at least two seconds: `Retry-After` counts whole seconds. */
function spreadMs(waitMs: number): number {
  return Math.max(2_000, waitMs / 4)
}

function denialText({ meter, dimension, waitMs }: OverLimit, tokens: number): string {
  const { scope, requestsPerMinute, tokensPerMinute, concurrency } = meter
  if (dimension === 'requests') return `the ${scope}'s limit of ${requestsPerMinute} requests per minute is reached`
  if (dimension === 'concurrency') return `the ${scope}'s limit of ${concurrency} requests at once is reached`
  const limit = `the ${scope}'s limit of ${tokensPerMinute} tokens per minute`
  if (Number.isFinite(waitMs)) return `${limit} is reached; this request may take ${tokens}`
  return `this request may take ${tokens} tokens, which is over ${limit}: send a shorter prompt or a lower maximum`
}

function settleAtEnd(answer: Answer, reservation: Reservation | null, used: (outcome: Outcome) => number): void {
  if (reservation === null) return
  if (answer.kind === 'whole') reservation.settle(used(answer.outcome))
  else
    answer.outcome.then(
      (outcome) => reservation.settle(used(outcome)),
      () => reservation.settle(0),
    )
}

function withHeaders(answer: Answer, standings: Standings): Answer {
  if (standings.requests === null && standings.tokens === null) return answer
  const headers = { ...answer.headers }
  addLimitHeaders(headers, standings)
  return { ...answer, headers }
}
