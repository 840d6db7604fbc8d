/**
 * What the RAG half asks of the fleet by itself: vectors for texts, and short answers of a chat model. Both go through the gateway's own
 * relay, so that caches, splitting over the nodes, queues and usage hold for them as for any other request. A call made for somebody's
 * request carries who that is; work in the background is the tenant's own.
 */
import { z } from 'zod'

import { CallSignal } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { chatRequest } from '../answer/chat-request.ts'
import { readChatFrames } from '../answer/chat-frames.ts'
import { nativeRequest } from '../answer/native-request.ts'
import { type Call, newProgress } from '../core/call.ts'
import type { EmbedOptions } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import { openPrincipal } from '../core/principal.ts'
import type { InferenceRequest, Relay, WholeAnswer } from '../core/relay.ts'
import type { EmbedCounted } from '../ingest/ingest.ts'
import type { Tracer } from '../observe/trace.ts'
import type { AskModel } from '../search/rerank.ts'
import { embedPrefix } from './embed-prefix.ts'

export interface FleetCallsDeps {
  /** From inside of access checks and limits: what the caller of a search may do was settled when it came in. */
  readonly relay: Relay
  readonly clock: Clock
  readonly newId: () => string
  /** Milliseconds a request of the background may wait for its answer. */
  readonly deadlineMs: () => number
  /** The trace of a call made for the one of `parent`. */
  readonly childTrace: Tracer['child']
  readonly digestOf: (model: string, group: string | null) => string | null
}

export interface FleetCalls {
  /** For work that nobody waits for. */
  readonly embed: EmbedCounted
  readonly ask: AskModel
  /** The same in the name of a request that is under way. */
  of(call: Call): { readonly embed: EmbedCounted; readonly ask: AskModel }
  /** A model's description as `/api/show` gives it. */
  show(model: string): Promise<unknown>
}

const embedBody = z.object({ embeddings: z.array(z.array(z.number())), prompt_eval_count: z.number().optional() })
const errorBody = z.object({ error: z.string() })

export function createFleetCalls(deps: FleetCallsDeps): FleetCalls {
  const background = bound(deps, null)
  return {
    ...background,
    of: (call) => bound(deps, call),
    async show(model) {
      const call = callFor(deps, null, { tenant: openPrincipal.tenant, priority: 'interactive', suffix: 's' })
      return parseJson(
        await whole(deps.relay, nativeRequest({ path: '/api/show', content: { model }, stream: false, headers: [] }), {
          call,
          signal: null,
        }),
      )
    },
  }
}

function bound(deps: FleetCallsDeps, base: Call | null): { readonly embed: EmbedCounted; readonly ask: AskModel } {
  return {
    embed: (texts, options) => embed(texts, options, { deps, base }),
    async ask({ model, tenant, system, prompt, maxTokens, signal }) {
      const call = callFor(deps, base, { tenant, priority: 'interactive', suffix: 'r' })
      const request = chatRequest({
        model,
        messages: [
          { role: 'system', content: system },
          { role: 'user', content: prompt },
        ],
        stream: false,
        options: { temperature: 0, num_predict: maxTokens },
        headers: [],
      })
      const { body } = await whole(deps.relay, request, { call, signal })
      return readChatFrames(body)
        .map(({ text }) => text)
        .join('')
    },
  }
}

async function embed(
  texts: readonly string[],
  { model, tenant, role, priority, signal }: EmbedOptions,
  { deps, base }: { readonly deps: FleetCallsDeps; readonly base: Call | null },
): ReturnType<EmbedCounted> {
  const call = callFor(deps, base, { tenant, priority, suffix: 'e' })
  const digest = deps.digestOf(model, call.principal.nodeGroup)
  if (digest === null) throw missing(model)
  const prefix = embedPrefix(model, role)
  const content = { model, input: texts.map((text) => prefix + text) }
  const request = nativeRequest({ path: '/api/embed', content, stream: false, headers: [] })
  const body = embedBody.safeParse(parseJson(await whole(deps.relay, request, { call, signal })))
  if (!body.success) throw new CorralError('node_protocol', `the answer of ${model} holds no embeddings`, { cause: body.error })
  const { embeddings, prompt_eval_count: promptTokens = null } = body.data
  if (embeddings.length !== texts.length)
    throw new CorralError('node_protocol', `${texts.length} texts gave ${embeddings.length} embeddings`)
  if (deps.digestOf(model, call.principal.nodeGroup) !== digest)
    throw new CorralError('node_failed', `${model} was replaced by another build meanwhile`)
  return { vectors: embeddings.map(unitVector), digest, promptTokens }
}

function missing(model: string): CorralError {
  return new CorralError('no_node', `no node has the model ${model}: pull it with "corral models pull ${model}"`)
}

function unitVector(values: readonly number[]): Float32Array {
  const vector = Float32Array.from(values)
  let squares = 0
  for (const value of vector) squares += value * value
  const length = Math.sqrt(squares)
  if (length === 0 || !Number.isFinite(length)) throw new CorralError('node_protocol', 'an embedding is zero or not finite')
  return vector.map((value) => value / length)
}

function callFor(
  { clock, newId, deadlineMs, childTrace }: FleetCallsDeps,
  base: Call | null,
  { tenant, priority, suffix }: Pick<EmbedOptions, 'tenant' | 'priority'> & { readonly suffix: string },
): Call {
  const own = { signal: new CallSignal(), progress: newProgress(), priority }
  // Whoever counts requests by their ids must not take it for the one it belongs to.
  const nowMs = clock.nowMs()
  if (base !== null) return { ...base, ...own, id: base.id + suffix, receivedAtMs: nowMs, trace: childTrace(base.trace) }
  const principal = { ...openPrincipal, tenant }
  return { ...own, id: newId(), receivedAtMs: nowMs, deadlineAtMs: nowMs + deadlineMs(), tenant, principal, trace: null, explanation: null }
}

/** The whole body of a good answer; the node's own refusal as an error. Aborting `signal` cancels what runs. */
async function whole(
  relay: Relay,
  request: InferenceRequest,
  { call, signal }: { readonly call: Call; readonly signal: AbortSignal | null },
): Promise<WholeAnswer> {
  const cancel = (): void => call.signal.abort(signal?.reason)
  if (signal?.aborted === true) throw signal.reason
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    const answer = await relay(request, call)
    if (answer.kind === 'stream') {
      answer.frames.cancel(new Error('a whole answer was asked for'))
      throw new CorralError('node_protocol', 'the node streams what was asked for whole')
    }
    if (answer.status === 200) return answer
    const told = errorBody.safeParse(parseJson(answer)).data?.error ?? `status ${answer.status}`
    if (answer.status === 404) throw missing(request.model ?? '')
    throw new CorralError(answer.status >= 500 ? 'node_failed' : 'invalid_request', `${request.model ?? 'the model'}: ${told}`)
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

function parseJson({ body }: Pick<WholeAnswer, 'body'>): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return null
  }
}
