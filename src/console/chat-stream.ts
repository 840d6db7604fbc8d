/** One answer as it comes: from a model alone, or from a model with documents. Both streams are read into the same few events. */
import { bodyPieces } from './api/body-text.ts'
import { ApiError, ask } from './api/client.ts'
import type { Citation, Passage } from './api/rag-shapes.ts'
import { type ChatWish, requestFor } from './chat-request.ts'

export type ChatEvent =
  | { readonly kind: 'head'; readonly requestId: string; readonly node: string | null; readonly cache: string | null }
  | { readonly kind: 'text' | 'thinking'; readonly text: string }
  | { readonly kind: 'sources'; readonly sources: readonly Passage[] }
  | { readonly kind: 'citation'; readonly citation: Citation }
  | { readonly kind: 'usage'; readonly promptTokens: number; readonly outputTokens: number }
  | { readonly kind: 'note'; readonly text: string }

/** Asks and reads. Throws `ApiError`, also when the stream breaks off without its end. */
export async function* streamChat(wish: ChatWish, signal: AbortSignal): AsyncGenerator<ChatEvent> {
  const { path, body } = requestFor(wish)
  const response = await ask(path, body, signal)
  const { headers } = response
  const requestId = headers.get('x-request-id') ?? ''
  yield { kind: 'head', requestId, node: headers.get('x-corral-node'), cache: headers.get('x-corral-cache') }
  const read = wish.collections.length > 0 ? eventsOfRag : eventsOfCompletion
  let isWhole = false
  for await (const { event, data } of serverEvents(response)) {
    if (data === '[DONE]') {
      isWhole = true
      continue
    }
    const value: Frame & RagFrame = JSON.parse(data)
    const failure = event === 'error' ? value : value.error
    if (failure !== undefined) throw failed(failure, requestId)
    if (event === 'done') isWhole = true
    yield* read(event, value)
  }
  if (!isWhole) throw new ApiError('The answer broke off before its end.', { status: 502, code: 'stream_broken', requestId })
}

interface Failure {
  readonly message?: string
  readonly detail?: string
  readonly code?: string
  readonly status?: number
}

function failed({ message, detail, code, status }: Failure, requestId: string): ApiError {
  return new ApiError(message ?? detail ?? 'The answer failed.', { status: status ?? 502, code: code ?? 'stream_failed', requestId })
}

interface Frame {
  readonly error?: Failure
  readonly choices?: readonly { readonly delta?: { readonly content?: string; readonly reasoning?: string } }[]
}

interface RagFrame extends Failure {
  readonly text?: string
  readonly sources?: readonly Passage[]
  readonly refused?: boolean
  readonly degradedReason?: string | null
  readonly cached?: boolean
  readonly usage?: Readonly<Record<'promptTokens' | 'outputTokens' | 'prompt_tokens' | 'completion_tokens', number>> | null
}

function* eventsOfCompletion(_event: string, { choices = [], usage }: Frame & RagFrame): Generator<ChatEvent> {
  const delta = choices[0]?.delta
  if (delta?.reasoning !== undefined && delta.reasoning !== '') yield { kind: 'thinking', text: delta.reasoning }
  if (delta?.content !== undefined && delta.content !== '') yield { kind: 'text', text: delta.content }
  if (usage !== undefined && usage !== null) {
    yield { kind: 'usage', promptTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens }
  }
}

function* eventsOfRag(event: string, value: Frame & RagFrame): Generator<ChatEvent> {
  if (event === 'text' || event === 'thinking') yield { kind: event, text: value.text ?? '' }
  if (event === 'sources') yield { kind: 'sources', sources: value.sources ?? [] }
  if (event === 'citation') yield { kind: 'citation', citation: JSON.parse(JSON.stringify(value)) }
  if (event !== 'done') return
  if (value.usage !== undefined && value.usage !== null) {
    yield { kind: 'usage', promptTokens: value.usage.promptTokens, outputTokens: value.usage.outputTokens }
  }
  if (value.refused === true) yield { kind: 'note', text: 'the documents do not hold the answer' }
  if (value.degradedReason !== undefined && value.degradedReason !== null) yield { kind: 'note', text: value.degradedReason }
  if (value.cached === true) yield { kind: 'note', text: 'kept answer' }
}

interface ServerEvent {
  readonly event: string
  readonly data: string
}

function* eventsIn(blocks: readonly string[]): Generator<ServerEvent> {
  for (const block of blocks) {
    const data = /^data: ?(.*)$/m.exec(block)?.[1]
    if (data !== undefined) yield { event: /^event: ?(.*)$/m.exec(block)?.[1] ?? 'message', data }
  }
}

/** Server-Sent Events of a body, comments left out; a line may come in any number of pieces. */
async function* serverEvents(response: Response): AsyncGenerator<ServerEvent> {
  let text = ''
  for await (const piece of bodyPieces(response)) {
    text += piece.text.replaceAll('\r', '')
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    yield* eventsIn(blocks)
  }
  yield* eventsIn([text])
}
