/** How many tokens a request may cost at most, before it runs; and how many it did cost, at its end. */
import type { InferenceRequest, Outcome } from '../core/relay.ts'

/** Operations whose answers are generated token by token. */
const generating: ReadonlySet<string> = new Set(['chat', 'generate'])

/** Tokens to reserve. */
export interface TokenCost {
  /** What it may take: the most that its prompt is known to have, and the client's maximum or else `outputTokensAssumed`. */
  readonly atMost: number
  /** What it takes by the client's own word: the likely size of its prompt, and a maximum that the client set. */
  readonly likely: number
}

const nothing: TokenCost = { atMost: 0, likely: 0 }

/** What a request may cost; `promptTokensMax` of a prompt that a model reads. */
export function tokenCost({ route, envelope }: InferenceRequest, outputTokensAssumed: number, promptTokensMax: () => number): TokenCost {
  const { promptTokens, outputTokensMax } = envelope
  if (envelope.empty) return nothing
  if (route.operation === 'embed') return { atMost: Math.max(promptTokens, promptTokensMax()), likely: promptTokens }
  if (!generating.has(route.operation)) return nothing
  const atMost = Math.max(promptTokens, promptTokensMax()) + (outputTokensMax ?? outputTokensAssumed)
  return { atMost, likely: promptTokens + (outputTokensMax ?? 0) }
}

/**
 * What is reserved under limits per minute, of which `limit` is the lowest: what it may cost. A guess never denies it for ever: where that
 * alone is over the limit, the whole limit is reserved.
 */
export function tokensToReserve({ atMost, likely }: TokenCost, limit: number): number {
  return Math.max(likely, Math.min(atMost, limit))
}

/**
 * Tokens to charge. What the node reports, when it does. An answer cut short reports nothing: its prompt was read and each frame
 * held about one token, so a client cannot get an answer free by leaving before its last frame. Cached answers cost none.
 */
export function tokensUsed({ envelope }: InferenceRequest, reserved: number, { usage, frames, kind, cached }: Outcome): number {
  if (cached === true) return 0
  if (usage !== null && (usage.promptTokens !== null || usage.outputTokens !== null)) {
    return (usage.promptTokens ?? 0) + (usage.outputTokens ?? 0)
  }
  const ran = frames > 0 || kind === 'ok' || kind === 'client_gone'
  return ran ? Math.min(reserved, envelope.promptTokens + frames) : 0
}
