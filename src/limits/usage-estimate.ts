/**
 * What a request used on a node: what the node reports, and an estimate of what it does not. Nodes report with the last frame, so a
 * client that leaves before it would otherwise get its answer free; OpenAI's and Anthropic's shapes never tell times.
 *
 * Estimates: GPU time is the time on the node, from dispatch to the end (it holds the node's own queue, so it is rather too much);
 * the prompt is the scanner's count; each frame of a generated stream holds about one token.
 */
import type { InferenceRequest, Outcome, Usage } from '../core/relay.ts'

export interface Used {
  readonly promptTokens: number
  readonly cachedPromptTokens: number
  readonly outputTokens: number
  readonly gpuMs: number
  /** Whether any of it is an estimate. */
  readonly estimated: boolean
}

export const nothing: Used = { promptTokens: 0, cachedPromptTokens: 0, outputTokens: 0, gpuMs: 0, estimated: false }

/** What an answer used that ended as `outcome` says, `nodeMs` after its dispatch. One that shares another's generation: nothing. */
export function usedBy(request: InferenceRequest, outcome: Outcome, nodeMs: number): Used {
  const { usage, cached } = outcome
  if (cached === true) return nothing
  const tokens = tokensOf(request, outcome)
  const reportedMs = usage === null ? null : gpuMsOf(usage)
  if (reportedMs !== null || !runs(request) || !ran(outcome)) return { ...tokens, gpuMs: reportedMs ?? 0 }
  return { ...tokens, gpuMs: nodeMs, estimated: true }
}

/** What a request used whose client left `nodeMs` after its dispatch, before anything came back. */
export function usedUnanswered(request: InferenceRequest, nodeMs: number): Used {
  return runs(request) ? { ...nothing, gpuMs: nodeMs, estimated: true } : nothing
}

function tokensOf(request: InferenceRequest, outcome: Outcome): Omit<Used, 'gpuMs'> {
  const { usage, frames } = outcome
  if (usage !== null) {
    const { promptTokens, cachedPromptTokens, outputTokens } = usage
    return {
      promptTokens: promptTokens ?? 0,
      cachedPromptTokens: cachedPromptTokens ?? 0,
      outputTokens: outputTokens ?? 0,
      estimated: false,
    }
  }
  if (!runs(request) || !ran(outcome)) return nothing
  const { route, envelope, stream } = request
  const outputTokens = stream && generating.has(route.operation) ? Math.min(frames, envelope.outputTokensMax ?? Infinity) : 0
  return { promptTokens: envelope.promptTokens, cachedPromptTokens: 0, outputTokens, estimated: true }
}

const generating: ReadonlySet<string> = new Set(['chat', 'generate'])

/** Prompt and output evaluation; embeddings report only the whole, of which loading is no evaluation. Null: no times. */
function gpuMsOf({ promptMs, outputMs, totalMs, loadMs }: Usage): number | null {
  if (promptMs !== null || outputMs !== null) return (promptMs ?? 0) + (outputMs ?? 0)
  return totalMs === null ? null : Math.max(0, totalMs - (loadMs ?? 0))
}

/** Whether the request makes a model work; an empty one only loads or unloads it. */
function runs({ route: { operation, placement }, envelope }: InferenceRequest): boolean {
  if (generating.has(operation)) return !envelope.empty
  return operation === 'embed' || (operation === 'other' && placement === 'one')
}

/** Whether a node worked for it: not when it refused or failed before the first frame. */
function ran({ kind, frames }: Outcome): boolean {
  return frames > 0 || kind === 'ok' || kind === 'client_gone'
}
