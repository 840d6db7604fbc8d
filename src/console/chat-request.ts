/** What the playground asks: a wish, and the request that it becomes. */
export interface Turn {
  readonly role: 'user' | 'assistant'
  readonly content: string
}

export interface ChatWish {
  readonly model: string
  readonly collections: readonly string[]
  readonly system: string
  readonly temperature: number | null
  readonly outputTokens: number | null
  readonly turns: readonly Turn[]
}

/** The request for a wish: also what the snippets show. */
export function requestFor(wish: ChatWish): { path: string; body: object } {
  const { model, collections, system, temperature, outputTokens, turns } = wish
  if (collections.length > 0) {
    const instructions = system === '' ? {} : { instructions: system }
    return { path: '/rag/chat', body: { collections, model, messages: turns, ...instructions, settings: answerSettingsFor(wish) } }
  }
  const limits = { ...(temperature === null ? {} : { temperature }), ...(outputTokens === null ? {} : { max_tokens: outputTokens }) }
  const stream = { stream: true, stream_options: { include_usage: true } }
  return { path: '/v1/chat/completions', body: { model, messages: messagesFor(wish), ...limits, ...stream } }
}

/** Those of an answer from documents; what is left out is the gateway's default. */
export function answerSettingsFor({ temperature, outputTokens }: Pick<ChatWish, 'temperature' | 'outputTokens'>): object {
  return { ...(temperature === null ? {} : { temperature }), ...(outputTokens === null ? {} : { outputTokens }) }
}

export function messagesFor({ system, turns }: Pick<ChatWish, 'system' | 'turns'>): readonly object[] {
  return [...(system === '' ? [] : [{ role: 'system', content: system }]), ...turns]
}
