/** How many tokens a request may cost at most, before it runs; and how many it did cost, at its end. */
import type { InferenceRequest, Outcome } from '../core/relay.ts'

/** Operations whose answers are generated token by token. */
const generating: ReadonlySet<string> = new Set(['chat', 'generate'])

/** Tokens to reserve: the prompt's estimate and, where something is generated, the client's maximum or else `outputTokensAssumed`. */
export function tokensToReserve({ route, envelope }: InferenceRequest, outputTokensAssumed: number): number {
  if (envelope.empty) return 0
  if (route.operation === 'embed') return envelope.promptTokens
  if (!generating.has(route.operation)) return 0
  return envelope.promptTokens + (envelope.outputTokensMax ?? outputTokensAssumed)
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
