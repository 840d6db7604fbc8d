/**
 * Request bodies of the benches: what an Ollama client sends, by length typical of a short chat turn.
 * The driver replaces `########` by a number of the request's own.
 */

function chat(isStream: boolean, content: string): string {
  return JSON.stringify({ model: 'm:latest', messages: [{ role: 'user', content }], stream: isStream })
}

export const wholeChat = chat(false, '######## How many head of cattle stand in the north pasture tonight?')
export const streamedChat = chat(true, '######## How many head of cattle stand in the north pasture tonight?')

/** What other gateways speak as well. The mock answers it whole and at once; the chat bodies above fit it, too. */
export const openAiChatPath = '/v1/chat/completions'

/** A chat that a cache looks up and stores, and never finds: its sampling is pinned, its prompt is new. */
export const uniquePinnedChat = JSON.stringify({ ...JSON.parse(wholeChat), options: { temperature: 0 } })

/** Characters of prompt a node of the bench reads in one ms: about 1,000 tokens per second. */
const promptCharactersPerMs = 4

/** A streamed chat whose first token takes `prefillMs` whatever the node's own settings, with a prompt as long as that suggests. */
export function longPrefillChat(prefillMs: number): string {
  return chat(true, `######## #prefillMs=${prefillMs} ${'moo '.repeat((prefillMs * promptCharactersPerMs) / 4)}`)
}

/** An embedding batch; the mock's vectors name their items. */
export function embedBatch(items: number): string {
  return JSON.stringify({ model: 'm:latest', input: Array.from({ length: items }, (_, index) => `item ${index}`) })
}
