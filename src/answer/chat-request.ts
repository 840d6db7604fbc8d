/** A `/api/chat` request of Corral's own. */
import type { InferenceRequest } from '../core/relay.ts'
import { nativeRequest } from './native-request.ts'
import type { ChatMessage } from './prompt.ts'

export interface ChatWish {
  readonly model: string
  readonly messages: readonly ChatMessage[]
  readonly stream: boolean
  /** In the order in which they are sent: the same request must be the same bytes. */
  readonly options: Readonly<Record<string, SamplingValue>>
  /** Of the client's request: only what it says of caching is taken over. */
  readonly headers: readonly string[]
}

export type SamplingValue = number | readonly string[]

const passedHeaders = new Set(['cache-control', 'x-corral-cache'])

/** No tools, no images, nothing but text and options. */
export function chatRequest({ model, messages, stream, options, headers }: ChatWish): InferenceRequest {
  return nativeRequest({ path: '/api/chat', content: { model, messages, stream, options }, stream, headers: passedOn(headers) })
}

function passedOn(headers: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] ?? ''
    if (passedHeaders.has(name)) kept.push(name, headers[index + 1] ?? '')
  }
  return kept
}
