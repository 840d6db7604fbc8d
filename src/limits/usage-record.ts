/** What one request used, as the ledger keeps it: counts and names, never a text. */
import type { Call } from '../core/call.ts'
import type { CorralError, ErrorCode } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, Provenance } from '../core/relay.ts'
import { nothing, type Used, usedBy, usedUnanswered } from './usage-estimate.ts'

export interface UsageRecord {
  readonly tenant: string
  readonly subject: string | null
  readonly request: string
  /** When the answer ended: milliseconds since 1970-01-01 UTC. */
  readonly at: number
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
  /** From arrival to the end of the answer. */
  readonly duration_ms: number
  /** From arrival to the first frame of a stream; null for any other answer. */
  readonly ttft_ms: number | null
  readonly stream: boolean
  /** Code of the catalogue (`core/errors.ts`); null: none. */
  readonly error: string | null
  /** Tries on nodes. */
  readonly attempts: number
  /** Why this node, or where else the answer is from (`Provenance`); null: there was no answer. */
  readonly reason: string | null
  /** From arrival to the first try, and from that to the last one; null: no node was asked for this request alone. */
  readonly queue_ms: number | null
  readonly retry_ms: number | null
  /** Inside the node, as it reported; null: it did not. */
  readonly load_ms: number | null
  readonly prompt_ms: number | null
  readonly output_ms: number | null
  /** Whether some of the tokens or the GPU time are an estimate (`usage-estimate.ts`), because the node did not report them. */
  readonly estimated: boolean
}

interface Ended {
  readonly call: Call
  /** The same moment on both clocks. */
  readonly wallMs: number
  readonly nowMs: number
}

export interface AnswerEnd extends Ended {
  readonly outcome: Outcome
  /** Monotonic ms of the head of a stream; null for a whole answer. */
  readonly firstFrameAtMs: number | null
}

/** The record of an answer at its end. One that shares another's generation used nothing itself. */
export function recordOf(request: InferenceRequest, answer: Answer, { outcome, firstFrameAtMs, ...ended }: AnswerEnd): UsageRecord {
  return {
    ...namesOf(request, ended),
    ...spentOf(usedBy(request, outcome, timeOnNode(ended, answer.provenance.dispatchedAtMs))),
    node: answer.provenance.node,
    status: answer.status,
    outcome: outcome.kind,
    cache: answer.provenance.cache ?? (ended.call.progress.bypassHeaders === null ? null : 'bypass'),
    ttft_ms: firstFrameAtMs === null ? null : elapsedMs(ended.call, firstFrameAtMs),
    stream: answer.kind === 'stream',
    error: outcome.error?.code ?? null,
    attempts: answer.provenance.attempts,
    reason: answer.provenance.reason,
    ...waitsOf(ended.call, answer.provenance),
    ...phasesOf(outcome),
  }
}

/** The record of a request that got no answer. Time on a node counts when it was its client that did not wait for the end. */
export function failureRecordOf(request: InferenceRequest, error: CorralError, ended: Ended): UsageRecord {
  const { node, status, code } = error
  const { attempts, dispatchedAtMs, phase } = ended.call.progress
  const waits = phase === 'queued' ? { queue_ms: elapsedMs(ended.call, ended.nowMs), retry_ms: null } : noWaits
  const ending = { status, outcome: 'rejected' as const, cache: null, ttft_ms: null, stream: request.stream, error: code, attempts }
  const leftNode = leaving.has(code) && phase !== 'queued' && dispatchedAtMs !== null
  const spent = leftNode ? usedUnanswered(request, timeOnNode(ended, dispatchedAtMs)) : nothing
  return { ...namesOf(request, ended), node, ...ending, ...spentOf(spent), reason: null, ...waits, ...noPhases }
}

const leaving: ReadonlySet<ErrorCode> = new Set(['client_gone', 'client_too_slow'])

/** Milliseconds since the dispatch; not before the call itself came, where it takes part in another's generation. */
function timeOnNode({ call, nowMs }: Ended, dispatchedAtMs: number): number {
  return Math.max(0, nowMs - Math.max(dispatchedAtMs, call.receivedAtMs))
}

const noWaits = { queue_ms: null, retry_ms: null }
const noPhases = { load_ms: null, prompt_ms: null, output_ms: null }

/** Who takes part in another's generation waited for that one. */
function waitsOf(call: Call, { node, cache, dispatchedAtMs, firstDispatchedAtMs }: Provenance) {
  if (node === null || cache === 'joined' || firstDispatchedAtMs === undefined) return noWaits
  return { queue_ms: elapsedMs(call, firstDispatchedAtMs), retry_ms: Math.round(dispatchedAtMs - firstDispatchedAtMs) }
}

function phasesOf({ usage, cached }: Outcome) {
  if (usage === null || cached === true) return noPhases
  return { load_ms: wholeMs(usage.loadMs), prompt_ms: wholeMs(usage.promptMs), output_ms: wholeMs(usage.outputMs) }
}

/** A node's word: any number it likes. */
function wholeMs(ms: number | null): number | null {
  return ms === null || !(ms >= 0) ? null : Math.min(Math.round(ms), Number.MAX_SAFE_INTEGER)
}

function spentOf({ promptTokens, cachedPromptTokens, outputTokens, gpuMs, estimated }: Used) {
  return {
    prompt_tokens: promptTokens,
    output_tokens: outputTokens,
    cached_prompt_tokens: cachedPromptTokens,
    gpu_us: Math.round(gpuMs * 1_000),
    estimated,
  }
}

function namesOf({ model, route }: InferenceRequest, { call, wallMs, nowMs }: Ended) {
  return {
    tenant: call.principal.tenant,
    subject: call.principal.subject,
    request: call.id,
    at: wallMs,
    model: model === null ? null : storable(model),
    route: route.pattern,
    duration_ms: elapsedMs(call, nowMs),
  }
}

function elapsedMs({ receivedAtMs }: Call, nowMs: number): number {
  return Math.max(0, Math.round(nowMs - receivedAtMs))
}

/** What nearly every name is: ASCII that can be seen. */
const plainName = /^[!-~]{0,256}$/

/** A client's text as Postgres takes it: no NUL, no half of a surrogate pair, not longer than a name. */
function storable(text: string): string {
  return plainName.test(text) ? text : text.replaceAll('\0', '').slice(0, 256).toWellFormed()
}
