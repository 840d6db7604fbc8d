/** What one request used, as the ledger keeps it: counts and names, never a text. */
import type { Call } from '../core/call.ts'
import type { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome } from '../core/relay.ts'

export interface UsageRecord {
  readonly tenant: string
  readonly subject: string | null
  readonly request: string
  /** ISO 8601, when the answer ended. */
  readonly at: string
  readonly model: string | null
  readonly node: string | null
  /** The route's pattern. */
  readonly route: string
  readonly status: number
  readonly outcome: Outcome['kind']
  readonly cache: string | null
  readonly prompt_tokens: number
  readonly output_tokens: number
  readonly cached_prompt_tokens: number
  readonly gpu_us: number
}

interface Ended {
  readonly call: Call
  readonly wallMs: number
}

/** The record of an answer at its end. One that shares another's generation used nothing itself. */
export function recordOf(
  request: InferenceRequest,
  answer: Answer,
  { outcome, ...ended }: Ended & { readonly outcome: Outcome },
): UsageRecord {
  const usage = outcome.cached === true ? null : outcome.usage
  return {
    ...namesOf(request, ended),
    node: answer.provenance.node,
    status: answer.status,
    outcome: outcome.kind,
    cache: answer.provenance.cache ?? null,
    prompt_tokens: usage?.promptTokens ?? 0,
    output_tokens: usage?.outputTokens ?? 0,
    cached_prompt_tokens: usage?.cachedPromptTokens ?? 0,
    gpu_us: Math.round(((usage?.promptMs ?? 0) + (usage?.outputMs ?? 0)) * 1_000),
  }
}

/** The record of a request that got no answer. */
export function failureRecordOf(request: InferenceRequest, error: CorralError, ended: Ended): UsageRecord {
  const nothing = { prompt_tokens: 0, output_tokens: 0, cached_prompt_tokens: 0, gpu_us: 0 }
  return { ...namesOf(request, ended), node: error.node, status: error.status, outcome: 'rejected', cache: null, ...nothing }
}

function namesOf({ model, route }: InferenceRequest, { call, wallMs }: Ended) {
  return {
    tenant: call.principal.tenant,
    subject: call.principal.subject,
    request: call.id,
    at: new Date(wallMs).toISOString(),
    model: model === null ? null : storable(model),
    route: route.pattern,
  }
}

/** A client's text as Postgres takes it: no NUL, no half of a surrogate pair, not longer than a name. */
function storable(text: string): string {
  return text.replaceAll('\0', '').slice(0, 256).toWellFormed()
}
